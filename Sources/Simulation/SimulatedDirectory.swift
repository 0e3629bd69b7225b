import Base

/// A folder of the simulated disk: the names as they are, and as they would be after a power loss.
final class SimulatedDirectory {
    enum Node {
        case file(SimulatedContent)
        case directory(SimulatedDirectory)
    }

    private enum Change {
        case link(String, Node)
        case unlink(String)
        case rename(from: String, to: String, Node)
    }

    private(set) var children: [String: Node] = [:]
    private var durable: [String: Node] = [:]
    /// What happened since the folder was synchronised, in order.
    private var changes: [Change] = []

    func link(_ name: String, _ node: Node) { change(.link(name, node)) }
    func unlink(_ name: String) { change(.unlink(name)) }
    func rename(_ name: String, to newName: String, _ node: Node) { change(.rename(from: name, to: newName, node)) }

    private func change(_ change: Change) {
        Self.apply(change, to: &children)
        changes.append(change)
    }

    private static func apply(_ change: Change, to names: inout [String: Node]) {
        switch change {
        case .link(let name, let node): names[name] = node
        case .unlink(let name): names[name] = nil
        case .rename(let from, let to, let node):
            names[from] = nil
            names[to] = node
        }
    }

    /// How many changes a synchronisation that begins now covers.
    var changeCount: Int { changes.count }

    /// Changes that were synchronised, since the folder was made or the power was lost.
    private(set) var synchronizedCount = 0

    func synchronize(_ count: Int) {
        guard count > 0 else { return }
        synchronizedCount += min(count, changes.count)
        for change in changes.prefix(count) { Self.apply(change, to: &durable) }
        changes.removeFirst(min(count, changes.count))
    }

    /// Each change since the last synchronisation happened or did not, as `random` decides; then the same below.
    func losePower(_ random: any RandomSource, damagePercent: Int? = nil) {
        for change in changes where random.next(below: 2) == 0 { Self.apply(change, to: &durable) }
        children = durable
        changes = []
        for (_, node) in children.sorted(by: { $0.key < $1.key }) {
            switch node {
            case .file(let content): content.losePower(random, damagePercent: damagePercent)
            case .directory(let directory): directory.losePower(random, damagePercent: damagePercent)
            }
        }
    }

    /// Every file in this folder and below, with its path below the folder, in order of names.
    func forEach(
        _ path: String, file: (String, SimulatedContent) -> Void, directory: (SimulatedDirectory) -> Void = { _ in }
    ) {
        directory(self)
        for (name, node) in children.sorted(by: { $0.key < $1.key }) {
            let childPath = path.isEmpty ? name : "\(path)/\(name)"
            switch node {
            case .file(let content): file(childPath, content)
            case .directory(let child): child.forEach(childPath, file: file, directory: directory)
            }
        }
    }
}
