import Foundation
import Glibc
import Synchronization

/// A network namespace of the test's own, kept alive by a process that sleeps in it; it goes with that process.
///
/// Root makes it directly; anybody else as root of a user namespace of their own, where the kernel allows that.
final class Namespace: Sendable {
    /// Whether namespaces with nftables can be made here.
    static let canBeMade: Bool = {
        guard let namespace = try? Namespace() else { return false }
        return (try? namespace.run(["nft", "add", "table", "inet", "probe"]).isSuccess) ?? false
    }()

    private let keeper: ChildProcess
    private let directory: TemporaryDirectory
    private let sockets = Mutex<NamespaceSockets?>(nil)

    /// A command's beginning that makes it run in here.
    let enter: [String]

    var identifier: pid_t { keeper.identifier }

    /// - Parameter other: a namespace whose user namespace this one shares, so that the two can be joined.
    init(beside other: Namespace? = nil) throws {
        directory = try TemporaryDirectory()
        let isRoot = getuid() == 0
        let sleep = ["sleep", "300"]
        if isRoot {
            keeper = try ChildProcess(["unshare", "--net"] + sleep, in: directory)
        } else if let other {
            keeper = try ChildProcess(other.enter.filter { $0 != "--net" } + ["unshare", "--net"] + sleep, in: directory)
        } else {
            keeper = try ChildProcess(["unshare", "--user", "--map-root-user", "--net"] + sleep, in: directory)
        }
        let user = isRoot ? [] : ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", "\(keeper.identifier)", "--net"] + user
        // The program changes its namespace first and its name after.
        try waitUntil("the namespace exists") {
            guard keeper.isRunning else { throw ChildProcess.Failure(description: "no namespace: \(keeper.error)") }
            let name = try? String(contentsOfFile: "/proc/\(keeper.identifier)/comm", encoding: .utf8)
            return name == "sleep\n"
        }
        try set("ip link set lo up")
    }

    deinit { keeper.end() }

    /// A UDP socket of this namespace.
    func openDatagramSocket(_ family: Int32) throws -> Int32 {
        try sockets.withLock { sockets in
            let giver = try sockets ?? NamespaceSockets(enter: enter, in: directory)
            sockets = giver
            return try giver.open(family)
        }
    }

    func run(_ command: [String]) throws -> ChildProcess.Outcome { try ChildProcess.run(enter + command) }

    /// Runs commands that must succeed, one a line.
    func set(_ lines: String) throws {
        for line in lines.split(separator: "\n") {
            let outcome = try run(line.split(separator: " ").map(String.init))
            guard outcome.isSuccess else { throw ChildProcess.Failure(description: "\(line): \(outcome.exit): \(outcome.error)") }
        }
    }
}
