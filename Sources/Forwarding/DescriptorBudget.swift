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
    /// Of UDP sessions; none where no Service has a UDP port.
    package let ofSessions: Int

    package init(openFiles: Int, workers: Int, listeners: Int = 0, servesDatagrams: Bool = false) {
        self.openFiles = openFiles
        self.workers = workers
        ofProgram = Limits.descriptorsReserved
        ofEngines = Limits.descriptorsOfWorker * workers
        ofPipes = 2 * workers * Self.pipesOfWorker(openFiles: openFiles, workers: workers)
        ofListeners = listeners
        ofSessions = servesDatagrams ? workers * Self.sessionsOfWorker(openFiles: openFiles, workers: workers) : 0
    }

    /// Pipes that each worker may have: not more than a sixteenth of the open files for all together.
    static func pipesOfWorker(openFiles: Int, workers: Int) -> Int { min(Engine.Limits.pipesMax, openFiles / (32 * workers)) }

    /// TCP connections for queries that each worker may have: not more than a thirty-second of the open files for all together.
    static func nameConnectionsOfWorker(openFiles: Int, workers: Int) -> Int {
        min(Limits.nameConnectionsMax, max(1, openFiles / (32 * workers)))
    }

    /// Questions for others that each worker may have under way, with a socket each: not more than a sixteenth of the open files for all
    /// together.
    static func questionsOfWorker(openFiles: Int, workers: Int) -> Int {
        min(Limits.questionsMax, max(4, openFiles / (16 * workers)))
    }

    /// UDP sessions that each worker may have, with a socket each: a quarter of the open files for all together.
    static func sessionsOfWorker(openFiles: Int, workers: Int) -> Int {
        min(Limits.sessionsMax, max(1, openFiles / (4 * workers)))
    }

    /// Connections that may be open at once: two descriptors each. Half of the open files at least is theirs, however few there are.
    package var connections: Int {
        let setAside = min(ofProgram + ofEngines + ofPipes + ofListeners + ofSessions, openFiles / 2)
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
    /// What queries of each worker come by.
    private let ofNames: Int
    private let servesDatagrams = Atomic<Bool>(false)

    /// - Parameters:
    ///   - nameAddresses: where queries are answered.
    ///   - asksOthers: whether others are asked for names.
    init(workers: Int, nameAddresses: Int = 0, asksOthers: Bool = false) {
        self.workers = workers
        let connections = DescriptorBudget.nameConnectionsOfWorker(openFiles: HostLimits.openFiles(), workers: workers)
        let questions = asksOthers ? DescriptorBudget.questionsOfWorker(openFiles: HostLimits.openFiles(), workers: workers) : 0
        ofNames = nameAddresses == 0 ? 0 : workers * (2 * nameAddresses + connections + questions)
    }

    func setListeners(_ count: Int, servesDatagrams: Bool) {
        listeners.store(count, ordering: .relaxed)
        self.servesDatagrams.store(servesDatagrams, ordering: .relaxed)
    }

    /// UDP sessions of each worker.
    var sessionsOfWorker: Int { DescriptorBudget.sessionsOfWorker(openFiles: HostLimits.openFiles(), workers: workers) }

    var budget: DescriptorBudget {
        DescriptorBudget(
            openFiles: HostLimits.openFiles(), workers: workers, listeners: listeners.load(ordering: .relaxed) + ofNames,
            servesDatagrams: servesDatagrams.load(ordering: .relaxed))
    }
}
