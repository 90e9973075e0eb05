import Engine
import Synchronization

/// How many connections a limit of open files leaves room for, and what is set aside from it: an accept that meets the limit would
/// come as a surprise, and so would a log or an admin socket that can't be opened.
package struct DescriptorBudget: Equatable, Sendable {
    package let openFiles: Int
    package let workers: Int
    /// Descriptors kept free for the admin socket, the log and files.
    package let ofProgram: Int
    /// Of the workers' engines, of the pipes they may open, and of their listeners.
    package let ofEngines: Int
    package let ofPipes: Int
    package let ofListeners: Int

    package init(openFiles: Int, workers: Int, listeners: Int = 0) {
        self.openFiles = openFiles
        self.workers = workers
        ofProgram = Limits.descriptorsReserved
        ofEngines = Limits.descriptorsOfWorker * workers
        ofPipes = 2 * workers * Self.pipesOfWorker(openFiles: openFiles, workers: workers)
        ofListeners = listeners
    }

    /// Pipes that each worker may have: not more than a sixteenth of the open files for all together.
    static func pipesOfWorker(openFiles: Int, workers: Int) -> Int { min(Engine.Limits.pipesMax, openFiles / (32 * workers)) }

    /// Connections that may be open at once: two descriptors each. Half of the open files at least is theirs, however few there are.
    package var connections: Int {
        let setAside = min(ofProgram + ofEngines + ofPipes + ofListeners, openFiles / 2)
        return min(max(1, (openFiles - setAside) / 2), tables)
    }

    /// What the workers' tables of flows hold.
    package var tables: Int { workers * Limits.flowsMax }
}

/// The process's limit of connections as it stands: workers ask once a second, and wait for nobody.
final class ConnectionRoom: Sendable {
    private let workers: Int
    /// Sockets that the workers listen on.
    private let listeners = Atomic<Int>(0)

    init(workers: Int) { self.workers = workers }

    func setListeners(_ count: Int) { listeners.store(count, ordering: .relaxed) }

    var budget: DescriptorBudget {
        DescriptorBudget(openFiles: HostLimits.openFiles(), workers: workers, listeners: listeners.load(ordering: .relaxed))
    }
}
