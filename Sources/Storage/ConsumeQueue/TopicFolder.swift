import Base

/// The folder `consumequeue/<topic>/` with a folder for each queue of the topic.
enum TopicFolder {
    /// Removes the folder and everything in it; does nothing when it is not there.
    static func remove(root: String, topic: String, disk: any Disk) throws(DiskError) {
        let folder = "\(root)/consumequeue/\(topic)"
        guard disk.exists(folder) else { return }
        for queue in try disk.list(folder) {
            for file in try disk.list("\(folder)/\(queue.name)") {
                try disk.remove("\(folder)/\(queue.name)/\(file.name)")
            }
            try disk.remove("\(folder)/\(queue.name)")
        }
        try disk.remove(folder)
    }
}
