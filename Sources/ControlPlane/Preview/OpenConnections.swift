package import Addressing

/// Connections, or UDP sessions, of one Service port that are open now.
package struct OpenConnections: Hashable, Sendable {
    /// All, those to endpoints that have gone before among them.
    package var total: UInt64
    package var byEndpoint: [SocketAddress: UInt64]

    package init(total: UInt64 = 0, byEndpoint: [SocketAddress: UInt64] = [:]) {
        self.total = total
        self.byEndpoint = byEndpoint
    }
}
