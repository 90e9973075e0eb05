internal import Addressing
internal import ServiceModel

/// `[ADDR:]PORT[/udp]=[ADDR:]PORT,…`: one Service with inline endpoints, written on the command line.
///
/// It stands for a Service in YAML and for nothing else: `yaml` is that Service, `object` is what loading it gives.
struct Shorthand: Equatable, Sendable {
    /// Why a shorthand can't be read; one sentence that names the part.
    struct Malformed: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    let text: String
    let listen: SocketAddress
    /// TCP or UDP.
    let transport: TransportProtocol
    /// At least one.
    let backends: [SocketAddress]
    /// Name of the Service; unique among the shorthands of one command line.
    private(set) var name: String

    /// Whether an argument is meant as a shorthand, right or wrong: digits, dots, colons and brackets before a `=`. A file of
    /// such a name is named with a `./` in front.
    static func isMeant(by argument: String) -> Bool {
        guard let equals = argument.firstIndex(of: "=") else { return false }
        let (left, _) = listenPart(argument[..<equals])
        return left.contains { $0.isASCII && $0.isNumber } && left.allSatisfy { $0.isHexDigit || "[].:".contains($0) }
    }

    init(_ text: String) throws(Malformed) {
        guard let equals = text.firstIndex(of: "=") else { throw Malformed(description: "\(text): there is no \"=\"") }
        let (left, transport) = Self.listenPart(text[..<equals])
        self.text = text
        self.transport = transport
        listen = try Self.address(left, of: text, role: "the address to listen on")
        var backends: [SocketAddress] = []
        for part in text[text.index(after: equals)...].split(separator: ",", omittingEmptySubsequences: false) {
            let trimmed = part.drop { $0 == " " }
            guard !trimmed.isEmpty else { throw Malformed(description: "\(text): a backend is missing after \"=\" or \",\"") }
            let backend = try Self.address(trimmed, of: text, role: "a backend")
            if backend.address.isUnspecified { throw Malformed(description: "\(text): \(backend) is no address to connect to") }
            if !backends.contains(backend) { backends.append(backend) }
        }
        self.backends = backends
        name = transport == .udp ? "port-\(listen.port)-udp" : "port-\(listen.port)"
    }

    /// Reads all shorthands of a command line and gives the second Service of one port and protocol
    /// another name: `port-80`, `port-80-2`, `port-53-udp`.
    static func all(_ texts: [String]) throws(Malformed) -> [Shorthand] {
        var names: [String: Int] = [:]
        var result: [Shorthand] = []
        for text in texts {
            var shorthand = try Shorthand(text)
            names[shorthand.name, default: 0] += 1
            if let count = names[shorthand.name], count > 1 { shorthand.name += "-\(count)" }
            result.append(shorthand)
        }
        return result
    }

    /// Any address is asked for with a nodePort, as a Service has no other way to say it; that listens on both families.
    private var listensOnAnyAddress: Bool { listen.address.isUnspecified }

    private var endpointsAnnotation: String { backends.map(\.description).joined(separator: ", ") }

    /// The Service as a document that `ringway run` reads.
    var yaml: String {
        var lines = ["apiVersion: v1", "kind: Service", "metadata:", "  name: \(name)", "  annotations:"]
        // Quoted where YAML would take a leading bracket for a list.
        let annotation = endpointsAnnotation
        lines.append("    ringway.dev/endpoints: \(annotation.hasPrefix("[") ? "\"\(annotation)\"" : annotation)")
        lines.append("spec:")
        if listensOnAnyAddress {
            lines += ["  type: NodePort", "  ports:", "  - port: \(listen.port)", "    nodePort: \(listen.port)"]
        } else {
            let address = listen.address.family == .ipv6 ? "\"\(listen.address)\"" : "\(listen.address)"
            lines += ["  externalIPs: [\(address)]", "  ports:", "  - port: \(listen.port)"]
        }
        if transport == .udp { lines.append("    protocol: UDP") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The same Service as an object.
    var object: KubernetesObject {
        let location = SourceLocation(file: text)
        var service = Service()
        var port = Service.Port(transport: transport, port: listen.port, targetPort: listen.port, location: location)
        if listensOnAnyAddress {
            service.type = .nodePort
            port.nodePort = listen.port
        } else {
            service.externalIPs = [listen.address]
        }
        service.externalTrafficPolicy = .cluster
        service.ports = [port]
        service.inlineEndpoints = backends
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, annotations: ["ringway.dev/endpoints": endpointsAnnotation]),
            body: .service(service), location: location)
    }

    /// What stands before the `=`, parted from the protocol, which is TCP where none is named.
    private static func listenPart(_ part: Substring) -> (address: Substring, transport: TransportProtocol) {
        if part.hasSuffix("/udp") { return (part.dropLast(4), .udp) }
        return (part.hasSuffix("/tcp") ? part.dropLast(4) : part, .tcp)
    }

    /// `PORT` alone is that port of 127.0.0.1.
    private static func address(_ part: Substring, of text: String, role: String) throws(Malformed) -> SocketAddress {
        if let port = PortNumber(part) { return SocketAddress(.loopbackIPv4, port) }
        if let address = SocketAddress(part) { return address }
        throw Malformed(
            description: "\(text): \"\(part)\" is not \(role): give PORT, ADDRESS:PORT or [IPV6]:PORT "
                + "with a port from 1 to 65535 (names are not resolved)")
    }
}
