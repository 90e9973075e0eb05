internal import Addressing
internal import ArgumentParser
internal import ControlPlane

/// From where Services get what they don't ask for by number.
struct AllocationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Range that clusterIPs are given from; two of different families for dual stack.", valueName: "cidr[,cidr]"))
    var serviceCidr = ServiceRanges(ranges: [IPRange("10.96.0.0/12")!])

    @Option(help: ArgumentHelp("Ports that nodePorts and healthCheckNodePorts are given from.", valueName: "first-last"))
    var nodePortRange = NodePortRange(ports: 30_000...32_767)

    @Option(
        help: ArgumentHelp(
            "Addresses that Services of type LoadBalancer are given, as a pool with a name; once for each pool. (default: none)",
            valueName: "[name=]cidr|first-last,..."))
    var loadBalancerPool: [LoadBalancerPoolArgument] = []

    @Option(help: "Give them to Services of this loadBalancerClass only. (default: to those without one)")
    var loadBalancerClass: String?

    init() {}

    func validate() throws {
        do throws(Allocations.UnusableRange) {
            _ = try allocations(seed: 0)
        } catch {
            throw ValidationError("--service-cidr: \(error).")
        }
        _ = try LoadBalancerPoolArgument.pools(loadBalancerPool, besides: serviceCidr.ranges)
    }

    /// All that no interface has, and that is to be this host's own.
    var virtualRanges: [IPRange] { serviceCidr.ranges + loadBalancerPool.flatMap { $0.pool.spans.flatMap(\.ranges) } }

    func allocations(seed: UInt64) throws(Allocations.UnusableRange) -> Allocations {
        let ports = nodePortRange.ports
        guard let first = PortNumber(ports.lowerBound), let last = PortNumber(ports.upperBound) else { preconditionFailure("port 0") }
        // Those that can't be have been refused by `validate`.
        let pools = (try? LoadBalancerPoolArgument.pools(loadBalancerPool, besides: serviceCidr.ranges)) ?? []
        return try Allocations(
            .init(serviceRanges: serviceCidr.ranges, nodePorts: first...last, acceptsLoopback: true, loadBalancerPools: pools), seed: seed)
    }
}

/// `--service-cidr`, `--cluster-cidr`.
struct ServiceRanges: ExpressibleByArgument, Equatable, CustomStringConvertible {
    var ranges: [IPRange]

    init(ranges: [IPRange]) { self.ranges = ranges }

    init?(argument: String) {
        ranges = []
        for item in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let range = IPRange(item) else { return nil }
            ranges.append(range)
        }
    }

    var description: String { ranges.map(\.description).joined(separator: ",") }
    var defaultValueDescription: String { description }
}

/// `--node-port-range`.
struct NodePortRange: ExpressibleByArgument, Equatable, CustomStringConvertible {
    var ports: ClosedRange<UInt16>

    init(ports: ClosedRange<UInt16>) { self.ports = ports }

    init?(argument: String) {
        let ends = argument.split(separator: "-", omittingEmptySubsequences: false).map { PortNumber($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last else { return nil }
        ports = first.rawValue...last.rawValue
    }

    var description: String { "\(ports.lowerBound)-\(ports.upperBound)" }
    var defaultValueDescription: String { description }
}
