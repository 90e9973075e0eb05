import Addressing
import ControlPlane
import Routing
import ServiceModel

/// Objects as short as the tests that use them.
enum Objects {
    /// A Service on loopback with inline endpoints.
    static func echo(
        _ name: String, _ listen: String, _ endpoints: [String], _ change: (inout Service) -> Void = { _ in }
    ) -> KubernetesObject {
        let key = frontend(listen)
        return service(name) {
            $0.externalIPs = [key.address.address]
            $0.ports = [servicePort(Int(key.address.port.rawValue), "", key.transport)]
            $0.inlineEndpoints = endpoints.map(socket)
            change(&$0)
        }
    }

    static func service(
        _ name: String, namespace: String = "default", labels: [String: String] = [:], line: Int = 1,
        _ change: (inout Service) -> Void
    ) -> KubernetesObject {
        var service = Service()
        change(&service)
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, namespace: namespace, labels: labels), body: .service(service), location: at(line))
    }

    static func slice(
        _ name: String, of service: String?, namespace: String = "default", family: IPAddress.Family? = .ipv4,
        labels: [String: String] = [:], ports: [EndpointSlice.Port] = [port(8080)], _ endpoints: [EndpointSlice.Endpoint]
    ) -> KubernetesObject {
        var slice = EndpointSlice()
        slice.serviceName = service
        slice.addressFamily = family
        slice.ports = ports
        slice.endpoints = endpoints
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, namespace: namespace, labels: labels), body: .endpointSlice(slice), location: at(1))
    }

    static func endpoints(_ name: String, _ subsets: [Endpoints.Subset]) -> KubernetesObject {
        var endpoints = Endpoints()
        endpoints.subsets = subsets
        return KubernetesObject(metadata: ObjectMetadata(name: name), body: .endpoints(endpoints), location: at(1))
    }

    static func port(_ number: Int?, _ name: String = "", _ transport: TransportProtocol = .tcp) -> EndpointSlice.Port {
        EndpointSlice.Port(name: name, transport: transport, port: number.flatMap { PortNumber($0) })
    }

    static func servicePort(
        _ number: Int, _ name: String = "", _ transport: TransportProtocol = .tcp, nodePort: Int? = nil, line: Int = 1
    ) -> Service.Port {
        guard let port = PortNumber(number) else { preconditionFailure("\(number) is no port") }
        return Service.Port(
            name: name, transport: transport, port: port, targetPort: port, nodePort: nodePort.flatMap { PortNumber($0) },
            location: at(line))
    }

    static func ready(_ address: String) -> EndpointSlice.Endpoint { EndpointSlice.Endpoint(address: ip(address)) }

    static func unready(_ address: String) -> EndpointSlice.Endpoint {
        EndpointSlice.Endpoint(address: ip(address), ready: false, serving: false)
    }

    static func draining(_ address: String, serving: Bool = true) -> EndpointSlice.Endpoint {
        EndpointSlice.Endpoint(address: ip(address), ready: false, serving: serving, terminating: true)
    }

    static func ip(_ text: String) -> IPAddress {
        guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
        return address
    }

    static func at(_ line: Int) -> SourceLocation { SourceLocation(file: "test.yaml", line: line, column: 1) }

    /// `127.0.0.1:80`, or `udp 127.0.0.1:80`.
    static func frontend(_ text: String) -> FrontendKey {
        text.hasPrefix("udp ") ? FrontendKey(socket(String(text.dropFirst(4))), .udp) : FrontendKey(socket(text), .tcp)
    }

    static func socket(_ text: String) -> SocketAddress {
        guard let address = SocketAddress(text) else { preconditionFailure("\(text) is no address and port") }
        return address
    }
}

/// What becomes of a client's connection.
enum Verdict: Equatable, CustomStringConvertible {
    /// No listener has the address: not ours.
    case notHandled
    /// There is a frontend without endpoints: the kernel refuses.
    case refused
    /// Nothing is heard: endpoints are elsewhere only, or the client is none that is taken.
    case silence
    /// The endpoints that connections reach, all of them, sorted.
    case reaches([String])

    var description: String {
        switch self {
        case .notHandled: "not handled"
        case .refused: "refused"
        case .silence: "silence"
        case .reaches(let endpoints): endpoints.joined(separator: " ")
        }
    }
}

extension RoutingSnapshot {
    /// Where connections of `client` to `destination` go. A listener on any address is found last, as the kernel finds it.
    func verdict(client: String = "203.0.113.2", to destination: String) -> Verdict {
        let key = Objects.frontend(destination)
        let any = SocketAddress(key.address.address.family == .ipv4 ? .anyIPv4 : .anyIPv6, key.address.port)
        guard let frontend = frontends[key] ?? frontends[FrontendKey(any, key.transport)] else { return .notHandled }
        let group: EndpointGroup
        switch frontend.verdict(of: Objects.ip(client)) {
        case .refused: return .refused
        case .dropped: return .silence
        case .forwarded(let chosen): group = chosen
        }
        var random = RandomSource(seed: 1)
        var turn = Turn()
        var reached: Set<SocketAddress> = []
        for _ in 0..<200 {
            let chosen = group.choose(
                client: Objects.ip(client), tried: Tried(), turn: &turn, random: &random, connectionsActive: { _ in 0 })
            guard let chosen else { return .refused }
            reached.insert(group.endpoints[chosen].address)
        }
        return .reaches(reached.sorted().map(\.description))
    }

    func group(_ address: String) -> EndpointGroup? { frontends[Objects.frontend(address)]?.group }
}

extension Verdict: ExpressibleByArrayLiteral {
    init(arrayLiteral elements: String...) { self = .reaches(elements) }
}
