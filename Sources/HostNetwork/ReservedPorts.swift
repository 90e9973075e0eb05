import Synchronization

/// Keeps node ports from being given to connections that the host itself begins: the kernel takes their source ports from
/// `net.ipv4.ip_local_port_range`, but for `net.ipv4.ip_local_reserved_ports`.
///
/// Only ports that Services have are reserved, never the range that node ports come from: it may be as large as the kernel's, and nothing
/// would be left to connect from. By default the kernel's range has no node port in it, and there is nothing to do.
package final class ReservedPorts: Sendable {
    private static let rangePath = "/proc/sys/net/ipv4/ip_local_port_range"
    private static let reservedPath = "/proc/sys/net/ipv4/ip_local_reserved_ports"

    private struct State {
        /// What was asked for last, and done.
        var held: Set<UInt16> = []
        /// What of it was reserved here: some was before.
        var added = PortSet()
    }

    private let state = Mutex(State())
    private let read: @Sendable (String) -> String?
    private let write: @Sendable (String, String) -> Int32

    /// - Parameters:
    ///   - read: a setting's whole text; nil where it can't be read.
    ///   - write: writes a setting, and answers an errno, 0 for none.
    package init(read: @escaping @Sendable (String) -> String?, write: @escaping @Sendable (String, String) -> Int32) {
        self.read = read
        self.write = write
    }

    /// Reserves what of these ports the kernel would give away, and gives back the others that it has reserved. Ports that somebody else
    /// has put into the setting stay in it.
    ///
    /// - Returns: why it could not be done; it is tried again with the next call.
    package func hold(_ ports: Set<UInt16>) -> HostNetworkFailure? {
        state.withLock { state in
            guard ports != state.held else { return nil }
            let ends = (read(Self.rangePath) ?? "").split(whereSeparator: \.isWhitespace).compactMap { UInt16($0) }
            guard ends.count == 2, ends[0] <= ends[1], let reserved = PortSet(read(Self.reservedPath) ?? "") else { return nil }
            let foreign = reserved.subtracting(state.added)
            let added = PortSet(ports.filter { (ends[0]...ends[1]).contains($0) }).subtracting(foreign)
            let next = foreign.union(added)
            let failure = next == reserved ? 0 : write(Self.reservedPath, "\(next)\n")
            guard failure == 0 else {
                return .kernel(ports.isEmpty ? "give back node ports" : "reserve node ports (\(added.summary))", failure)
            }
            state = State(held: ports, added: added)
            return nil
        }
    }
}
