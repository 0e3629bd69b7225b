import Base
import Bytes

extension ByteBuffer {
    /// Appends up to `count` bytes of a file from `position`; fewer only at its end. May block on the medium.
    /// - Returns: how many bytes were appended.
    @discardableResult
    func append(from file: any DiskFile, at position: Int, count: Int) throws(DiskError) -> Int {
        var failure: DiskError?
        let before = self.count
        appendUninitialized(count) { destination in
            do throws(DiskError) {
                return try file.read(into: destination, at: position)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return self.count - before
    }
}
