internal import Addressing
internal import ServiceModel

extension Service {
    /// Type, cluster IP, external IP, ports and, for the wide table, selector: as kubectl prints them.
    var columns: [String] {
        [
            type.rawValue, clusterIPs.first?.description ?? (isHeadless ? "None" : "<none>"), externalAddress,
            joined(ports.map(\.column)), joined((selector ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }),
        ]
    }

    private var externalAddress: String {
        let external = externalIPs.map(\.description)
        return switch type {
        case .clusterIP, .nodePort: joined(external)
        // Where nobody has given it an address yet, that is worth knowing.
        case .loadBalancer: joined(loadBalancerIPs.map(\.description).sorted() + external, none: "<pending>")
        case .externalName: externalName ?? ""
        }
    }
}

extension Service.Port {
    /// `80/TCP`, `8080:30914/TCP`.
    fileprivate var column: String { "\(port)\(nodePort.map { ":\($0)" } ?? "")/\(transport.rawValue)" }
}

extension EndpointSlice {
    /// Address type, ports and addresses, three of each at most.
    var columns: [String] {
        let family =
            switch addressFamily {
            case .ipv4: "IPv4"
            case .ipv6: "IPv6"
            case nil: "FQDN"
            }
        return [
            family, firstThree(ports.map { $0.port?.description ?? "*" }, none: "<unset>"),
            firstThree(endpoints.map(\.address.description), none: "<unset>"),
        ]
    }
}

func joined(_ parts: [String], none: String = "<none>") -> String { parts.isEmpty ? none : parts.joined(separator: ",") }

/// `a,b,c + 2 more...`
func firstThree(_ parts: [String], none: String) -> String {
    parts.count <= 3 ? joined(parts, none: none) : parts.prefix(3).joined(separator: ",") + " + \(parts.count - 3) more..."
}
