extension UringDriver {
    /// A receive that is no more than a poll; zero where there is none. Callers' tokens leave the highest bit free.
    struct Resting: BitwiseCopyable {
        private var rawValue: UInt64
        private static let cancelMark: UInt64 = 1 << 63

        static let none = Resting(rawValue: 0)

        private init(rawValue: UInt64) { self.rawValue = rawValue }

        init(_ token: OperationToken) { rawValue = token.rawValue }

        var isPending: Bool { rawValue != 0 }
        /// The poll's end is the receive's.
        var isCancelled: Bool { rawValue & Self.cancelMark != 0 }
        var token: OperationToken { OperationToken(rawValue: rawValue & ~Self.cancelMark) }

        mutating func cancel() { rawValue |= Self.cancelMark }
    }
}
