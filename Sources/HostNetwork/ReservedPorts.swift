import Synchronization

/// Keeps node ports from being given to connections that the host itself begins: the kernel takes their source ports from
/// `net.ipv4.ip_local_port_range`, but for `net.ipv4.ip_local_reserved_ports`. By default that range has no node port in it, and there is
/// nothing to do.
package final class ReservedPorts: Sendable {
    private static let rangePath = "/proc/sys/net/ipv4/ip_local_port_range"
    private static let reservedPath = "/proc/sys/net/ipv4/ip_local_reserved_ports"

    /// What was reserved here, and was not before.
    private let added = Mutex<PortSet>(PortSet())
    private let read: @Sendable (String) -> String?
    private let write: @Sendable (String, String) -> Int32

    /// - Parameters:
    ///   - read: a small file's text; nil where it can't be read.
    ///   - write: writes a file in place, and answers an errno, 0 for none.
    package init(read: @escaping @Sendable (String) -> String?, write: @escaping @Sendable (String, String) -> Int32) {
        self.read = read
        self.write = write
    }

    /// Reserves what of these ports the kernel would give away.
    ///
    /// - Returns: why it could not be done.
    package func reserve(_ ports: ClosedRange<UInt16>) -> HostNetworkFailure? {
        added.withLock { added in
            let ends = (read(Self.rangePath) ?? "").split(whereSeparator: \.isWhitespace).compactMap { UInt16($0) }
            guard ends.count == 2, ends[0] <= ends[1], (ends[0]...ends[1]).overlaps(ports) else { return nil }
            let wanted = ports.clamped(to: ends[0]...ends[1])
            guard var reserved = PortSet(read(Self.reservedPath) ?? ""), !reserved.contains(wanted) else { return nil }
            var new = PortSet([wanted])
            for range in reserved.ranges { new.remove(range) }
            reserved.insert(wanted)
            let failure = write(Self.reservedPath, "\(reserved)\n")
            guard failure == 0 else { return .kernel("reserve ports \(wanted.lowerBound)-\(wanted.upperBound) for node ports", failure) }
            for range in new.ranges { added.insert(range) }
            return nil
        }
    }

    /// Gives back what `reserve` took.
    package func release() -> HostNetworkFailure? {
        added.withLock { added in
            guard !added.ranges.isEmpty, var reserved = PortSet(read(Self.reservedPath) ?? "") else { return nil }
            for range in added.ranges { reserved.remove(range) }
            added = PortSet()
            let failure = write(Self.reservedPath, "\(reserved)\n")
            return failure == 0 ? nil : .kernel("give back the ports that were reserved for node ports", failure)
        }
    }
}
