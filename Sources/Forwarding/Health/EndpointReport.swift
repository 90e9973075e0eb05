package import Routing

/// How an endpoint of a Service port is, as the control side hears of it.
package struct EndpointReport: Sendable {
    package enum State: Hashable, Sendable {
        case well
        /// Also while a connection tries it.
        case ejected
        case down
    }

    package let key: EndpointKey
    package let weight: UInt16
    package let state: State
    /// Its last failure, or what its probe found, where it is not well.
    package let reason: String?

    package init(_ key: EndpointKey, weight: UInt16 = 1, state: State, reason: String? = nil) {
        self.key = key
        self.weight = weight
        self.state = state
        self.reason = reason
    }
}

extension EndpointHealth {
    package var reported: EndpointReport.State { isDown ? .down : state == .active ? .well : .ejected }

    /// The state in a word, for statistics.
    package var stated: ServiceReading.EndpointState {
        guard !isDown else { return .down }
        return switch state {
        case .active: .active
        case .ejected: .ejected
        default: .probing
        }
    }
}

extension DataPlaneStatistics.Endpoint {
    /// Says an endpoint's health in words.
    mutating func describe(_ health: EndpointHealth, _ now: UInt64) {
        state = health.stated.rawValue
        guard health.stated == .ejected else { return }
        let ticks = health.time > now ? health.time - now : 0
        ejectedForSeconds = Double((ticks << TimerWheel.bucketShift) / 1_000_000) / 1000
    }
}
