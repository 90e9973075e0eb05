import Foundation
import Testing

/// A name server that others are forwarded to: dnsmasq on a port of loopback. It has `service.test`, both addresses; `example.org`, an
/// alias of it; `brief.test`, for a second only; `who.test`, its own name; and `large.test`, too much for a datagram. It says what it
/// is asked.
final class NameUpstream: Sendable {
    let process: ChildProcess
    let port: Int
    private let directory: TemporaryDirectory

    var place: String { "127.0.0.1:\(port)" }

    init(_ name: String = "upstream", port: Int? = nil) throws {
        directory = try TemporaryDirectory()
        self.port = try port ?? FreePort.take()
        let text = Array(repeating: String(repeating: "x", count: 200), count: 3).joined(separator: ",")
        let large = (0..<4).map { "txt-record=large.test,\($0),\(text)" }.joined(separator: "\n")
        let configuration = try directory.write(
            """
            port=\(self.port)
            listen-address=127.0.0.1
            bind-interfaces
            no-resolv
            no-hosts
            log-queries
            local-ttl=600
            local=/test/
            local=/org/
            host-record=service.test,192.0.2.7,2001:db8::7,600
            host-record=brief.test,192.0.2.9,1
            cname=example.org,service.test
            txt-record=who.test,\(name)
            \(large)
            # Who is root in a user namespace of their own can't become anybody else.
            user=root
            group=root
            pid-file=\(directory.path("pid"))

            """, to: "dnsmasq.conf")
        process = try ChildProcess(["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=\(configuration)"], in: directory)
        let (process, pid) = (process, directory.path("pid"))
        try waitUntil("dnsmasq writes its pid") {
            guard process.isRunning else { throw ChildProcess.Failure(description: "dnsmasq ended: \(process.error)") }
            return FileManager.default.fileExists(atPath: pid)
        }
    }

    deinit { process.end() }

    /// How often it was asked for a name that contains this.
    func queries(_ part: String) -> Int {
        process.error.split(separator: "\n").count { $0.contains("query[") && $0.contains(part) }
    }
}
