/// Why a connection ended: PRODUCT's closed list, as far as this version can tell them apart.
package enum CloseReason: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case clientFin, serverFin, clientReset, serverReset
    case connectRefused, connectTimeout, connectUnreachable, noEndpoint, noSourcePort
    case clientIdle, serverIdle, halfCloseTimeout
    case limitService, limitSource, limitProcess, denied, drain, proxyHeaderBad, clientLost, serverLost, `internal`

    /// How a UDP session ends where nothing is amiss: its client has no more to ask, or all that it asked is answered.
    var isEndOfSession: Bool { self == .clientIdle || self == .serverFin }

    /// The word said in logs and statistics: `client-fin`.
    package var name: String {
        switch self {
        case .clientFin: "client-fin"
        case .serverFin: "server-fin"
        case .clientReset: "client-reset"
        case .serverReset: "server-reset"
        case .connectRefused: "connect-refused"
        case .connectTimeout: "connect-timeout"
        case .connectUnreachable: "connect-unreachable"
        case .noEndpoint: "no-endpoint"
        case .noSourcePort: "no-source-port"
        case .clientIdle: "client-idle"
        case .serverIdle: "server-idle"
        case .halfCloseTimeout: "half-close-timeout"
        case .limitService: "limit-service"
        case .limitSource: "limit-source"
        case .limitProcess: "limit-process"
        case .denied: "denied"
        case .drain: "drain"
        case .proxyHeaderBad: "proxy-header-bad"
        case .clientLost: "client-lost"
        case .serverLost: "server-lost"
        case .internal: "internal"
        }
    }
}
