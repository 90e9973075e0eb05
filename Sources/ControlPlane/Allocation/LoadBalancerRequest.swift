package import Addressing
internal import ServiceModel

/// What a Service of type LoadBalancer asks for, by its fields and by MetalLB's annotations.
package struct LoadBalancerRequest: Hashable, Sendable {
    /// What it does with an address, which decides who else may have it.
    struct Use: Hashable, Sendable {
        /// Empty: it shares with nobody.
        var sharingKey = ""
        /// Of `externalTrafficPolicy: Local`, the selector: traffic comes only to nodes with such endpoints, so all who share must agree.
        var backend = ""
        var ports: Set<TransportPort> = []
    }

    struct TransportPort: Hashable, Sendable {
        var transport: TransportProtocol
        var port: PortNumber
    }

    var families: [IPAddress.Family] = []
    /// Nothing but one of each family will do.
    var needsAllFamilies = true
    /// By number.
    var addresses: [IPAddress] = []
    var pool: String?
    var use = Use()

    /// - Throws: what of it can't be read.
    init(_ manifest: ServiceManifest) throws(LoadBalancerRefusal) {
        let service = manifest.service
        families = service.ipFamilies
        needsAllFamilies = service.ipFamilyPolicy != .preferDualStack
        pool = manifest.annotation(.pool)
        use.sharingKey = manifest.annotation(.sharing) ?? ""
        if service.externalTrafficPolicy == .local {
            use.backend = (service.selector ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        }
        use.ports = Set(service.ports.map { TransportPort(transport: $0.transport, port: $0.port) })
        addresses = service.loadBalancerIP.map { [$0] } ?? []
        guard let text = manifest.annotation(.addresses) else { return }
        var written: [IPAddress] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let item = item.trimmingSpaces
            guard let address = IPAddress(item) else {
                throw .unreadable(LoadBalancerAnnotation.addresses.name, "\"\(item)\" is no address")
            }
            written.append(address)
        }
        guard Set(written.map(\.family)).count == written.count else {
            throw .unreadable(LoadBalancerAnnotation.addresses.name, "one address of each family at most")
        }
        guard addresses.allSatisfy(written.contains) else {
            throw .unreadable(LoadBalancerAnnotation.addresses.name, "spec.loadBalancerIP names another address: remove one of the two")
        }
        addresses = written
    }

    /// Asks for these and no others.
    mutating func ask(for addresses: [IPAddress]) {
        self.addresses = addresses
        families = addresses.map(\.family)
    }
}

/// MetalLB's annotations of a Service, each of which has an older name.
enum LoadBalancerAnnotation: String {
    case addresses = "loadBalancerIPs"
    case pool = "address-pool"
    case sharing = "allow-shared-ip"

    var name: String { "metallb.io/\(rawValue)" }
    var oldName: String { "metallb.universe.tf/\(rawValue)" }
}

extension ServiceManifest {
    /// nil where it is empty, too.
    func annotation(_ annotation: LoadBalancerAnnotation) -> String? {
        let value = metadata.annotations[annotation.name] ?? metadata.annotations[annotation.oldName]
        return value?.isEmpty == true ? nil : value
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        guard let first = firstIndex(where: { $0 != " " }), let last = lastIndex(where: { $0 != " " }) else { return "" }
        return self[first...last]
    }
}

/// Why a Service gets no address of a load balancer. It is served all the same, at its other addresses.
package enum LoadBalancerRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// A field or an annotation, and what is wrong with it.
    case unreadable(String, String)
    case noPools
    case unknownPool(String)
    case notInAnyPool(IPAddress)
    case inOtherPool(IPAddress, has: String, wanted: String)
    case notOfItsFamilies(IPAddress)
    /// Another Service has it, and why the two can't share.
    case taken(IPAddress, by: ServiceKey, because: String)
    /// No pool has anything left of all the families that are needed.
    case exhausted([IPAddress.Family], pool: String?)

    package var description: String {
        switch self {
        case .unreadable(let place, let what): return "\(place): \(what)"
        case .noPools: return "there is no --load-balancer-pool to give it one from"
        case .unknownPool(let name): return "there is no --load-balancer-pool named \"\(name)\""
        case .notInAnyPool(let address): return "\(address) is in no --load-balancer-pool"
        case .inOtherPool(let address, let has, let wanted): return "\(address) is in the pool \"\(has)\", not in \"\(wanted)\""
        case .notOfItsFamilies(let address): return "\(address) is of a family that its ipFamilies don't name"
        case .taken(let address, let owner, let reason): return "Service \(owner) has \(address), \(reason)"
        case .exhausted(let families, let pool):
            let place = pool.map { "the pool \"\($0)\" has" } ?? "no pool has"
            return "\(place) \(pool == nil ? "an" : "no") \(families.map(\.name).joined(separator: " and ")) address left"
        }
    }
}
