/// Why what Services were given can't be kept, or read, and what to do about it.
package enum StateStoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The directory can't be made or written.
    case unusable(directory: String, reason: String)
    /// Another process has it; nil where it hasn't said which.
    case inUse(directory: String, pid: Int32?)
    /// No database, or one whose pages or records contradict themselves.
    case damaged(file: String, reason: String)
    /// A later version has been here, and nobody knows what its tables mean.
    case newer(file: String)
    /// The disk is full, or gone.
    case failed(file: String, reason: String)

    package var description: String {
        switch self {
        case .unusable(let directory, let reason): "can't use the state directory \(directory): \(reason)"
        case .inUse(let directory, let pid):
            "the state directory \(directory) is in use by \(pid.map { "process \($0)" } ?? "another process"): stop that one, or give "
                + "this one a --state-directory of its own"
        case .damaged(let file, let reason):
            // Not set aside without asking: others would get addresses that clients still connect to.
            "\(file) is damaged (\(reason)): put a copy of it back, or move it away to begin anew, and Services that name no clusterIP "
                + "or nodePort will be given others"
        case .newer(let file):
            "\(file) was written by a newer Ringway: run that one, or give this one a --state-directory of its own"
        case .failed(let file, let reason): "can't write or read \(file): \(reason)"
        }
    }
}
