import Foundation
import Fuzz
import Glibc
import Testing

/// Asks the program for names, and reads what it says, strictly.
struct NameClient {
    let address: String
    let port: Int

    init(_ address: String, _ port: Int) {
        self.address = address
        self.port = port
    }

    /// - Parameter payload: what is taken by UDP (EDNS); nil: no EDNS.
    static func query(_ name: String, _ type: UInt16 = 1, id: Int = 0x1234, payload: Int? = 4096) -> [UInt8] {
        func number(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xff), UInt8(value & 0xff)] }
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        let header = number(id) + [1, 0, 0, 1, 0, 0, 0, 0, 0, payload == nil ? 0 : 1]
        let opt = payload.map { [0, 0, 41] + number($0) + [0, 0, 0, 0, 0, 0] } ?? []
        return header + labels + [0] + number(Int(type)) + [0, 1] + opt
    }

    static func framed(_ message: [UInt8]) -> [UInt8] { [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message }

    /// One question from a socket of its own.
    func ask(_ name: String, _ type: String = "A", overTCP: Bool = false, payload: Int? = 4096) throws -> DNSMessage {
        let query = Self.query(name, try #require(DNSMessage.type(named: type)), payload: payload)
        if overTCP {
            let connection = try TestSocket(to: address, port)
            try connection.send(Self.framed(query))
            return try DNSMessage(try Self.receive(from: connection))
        }
        let socket = try DatagramSocket(on: address.contains(":") ? "::1" : "127.0.0.1", to: (address, port))
        // A lost datagram is the network's right.
        for _ in 0..<3 {
            socket.send(query)
            if let answer = socket.receive(within: 5000) { return try DNSMessage(answer.bytes) }
        }
        throw ChildProcess.Failure(description: "no answer to \(name) \(type) from \(address):\(port)")
    }

    /// The answers' data, sorted, or the code where there are none.
    func answer(_ name: String, _ type: String = "A", overTCP: Bool = false) throws -> [String] {
        let message = try ask(name, type, overTCP: overTCP)
        guard message.code == 0 else { return ["code \(message.code)"] }
        return message.answers.map(\.data).sorted()
    }

    /// The next message of a connection.
    static func receive(from connection: TestSocket) throws -> [UInt8] {
        func exactly(_ count: Int) throws -> [UInt8] {
            var bytes: [UInt8] = []
            while bytes.count < count {
                let more = try connection.receive(max: count - bytes.count)
                guard !more.isEmpty else { throw ChildProcess.Failure(description: "FIN in the middle of a message") }
                bytes += more
            }
            return bytes
        }
        let length = try exactly(2)
        return try exactly(Int(length[0]) << 8 | Int(length[1]))
    }
}

/// Services for DNS to speak of. Nobody listens on any of them.
enum NameManifests {
    static func headless(_ name: String, namespace: String = "prod", _ addresses: [String], hostnames: [String] = []) -> String {
        let endpoints = addresses.enumerated().map { index, address in
            let hostname = index < hostnames.count ? ", hostname: \(hostnames[index])" : ""
            return "- {addresses: [\"\(address)\"]\(hostname), conditions: {ready: true}}"
        }.joined(separator: "\n")
        return """
            apiVersion: v1
            kind: Service
            metadata: {name: \(name), namespace: \(namespace)}
            spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: \(name)-1, namespace: \(namespace), labels: {kubernetes.io/service-name: \(name)}}
            addressType: IPv4
            ports: [{name: pg, port: 5432, protocol: TCP}]
            endpoints:
            \(endpoints)

            """
    }

    /// One of each kind.
    static let all =
        headless("db", ["10.1.0.1", "10.1.0.2", "10.1.0.3"], hostnames: ["db-0", "db-1", "db-2"]) + """
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: prod}
            spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: out, namespace: prod}
            spec: {type: ExternalName, externalName: example.org}
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: alias, namespace: prod}
            spec: {type: ExternalName, externalName: web.prod.svc.cluster.local}

            """
}

extension NameManifests {
    /// Asks for what all of these have, and for what they don't: whoever passes it on says the same.
    static func expectAnswers(of client: NameClient, overTCP: Bool, _ place: SourceLocation = #_sourceLocation) throws {
        func answer(_ name: String, _ type: String = "A") throws -> [String] {
            try client.answer("\(name).prod.svc.cluster.local", type, overTCP: overTCP)
        }
        #expect(try answer("web") == ["10.96.0.20"], sourceLocation: place)
        #expect(try answer("db") == ["10.1.0.1", "10.1.0.2", "10.1.0.3"], sourceLocation: place)
        #expect(try answer("db-1.db") == ["10.1.0.2"], sourceLocation: place)
        #expect(try answer("alias") == ["10.96.0.20", "web.prod.svc.cluster.local."], sourceLocation: place)
        #expect(try answer("_http._tcp.web", "SRV").count == 1, sourceLocation: place)
        #expect(try answer("web", "AAAA") == [], sourceLocation: place)
        #expect(try answer("nobody") == ["code 3"], sourceLocation: place)
    }
}
