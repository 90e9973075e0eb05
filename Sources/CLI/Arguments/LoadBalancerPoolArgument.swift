internal import Addressing
internal import ArgumentParser
internal import ControlPlane

/// `--load-balancer-pool`: `[NAME=]CIDR|FIRST-LAST,…`.
struct LoadBalancerPoolArgument: ExpressibleByArgument, Equatable {
    /// Of a pool that is given without one.
    static let unnamed = "default"

    var pool: LoadBalancerPool

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = parts.count == 2 ? String(parts[0]) : Self.unnamed
        guard !name.isEmpty, name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x2e })
        else { return nil }
        pool = LoadBalancerPool(name: name, spans: [])
        for item in parts[parts.count - 1].split(separator: ",", omittingEmptySubsequences: false) {
            guard let span = IPSpan(item) else { return nil }
            pool.spans.append(span)
        }
    }

    /// The pools of one command line, those of one name together; nil and what is wrong with them.
    static func pools(_ arguments: [LoadBalancerPoolArgument], besides ranges: [IPRange]) throws(ValidationError) -> [LoadBalancerPool] {
        var pools: [LoadBalancerPool] = []
        var taken = ranges.map { (span: IPSpan($0), name: "--service-cidr") }
        for argument in arguments {
            for span in argument.pool.spans {
                if let other = taken.first(where: { $0.span.overlaps(span) }) {
                    throw ValidationError("--load-balancer-pool: \(span) overlaps \(other.span) of \(other.name).")
                }
                taken.append((span, "the pool \"\(argument.pool.name)\""))
            }
            if let index = pools.firstIndex(where: { $0.name == argument.pool.name }) {
                pools[index].spans += argument.pool.spans
            } else {
                pools.append(argument.pool)
            }
        }
        return pools
    }
}
