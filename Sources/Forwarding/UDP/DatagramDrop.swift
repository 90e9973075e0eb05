/// Why a datagram was not passed on: counted for each Service port.
package enum DatagramDrop: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    /// There is no endpoint, or none that took it.
    case noEndpoint
    case limitService, limitSource, limitRate
    /// Its client is to hear nothing.
    case denied
    /// No socket could be opened, or none was free.
    case limitProcess
    case noSourcePort
    /// Replies beyond the ratio that the Service allows.
    case replyRatio
    /// The kernel had no room for it, or would not send it.
    case notSent

    /// The word said in statistics: `limit-service`.
    package var name: String {
        switch self {
        case .noEndpoint: "no-endpoint"
        case .limitService: "limit-service"
        case .limitSource: "limit-source"
        case .limitRate: "limit-rate"
        case .denied: "denied"
        case .limitProcess: "limit-process"
        case .noSourcePort: "no-source-port"
        case .replyRatio: "reply-ratio"
        case .notSent: "not-sent"
        }
    }
}
