import Addressing
import AdminServer
import Forwarding
import FoundationEssentials
import Glibc
import Routing
import Testing

struct SlowReaderTests {
    /// A client that asks and then reads only what it is told to.
    private struct SlowClient: ~Copyable {
        private let descriptor: Int32

        init(path: String, request: String) throws {
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
            let connected = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(connected == 0)
            let bytes = Array("GET \(request) HTTP/1.1\r\nhost: ringway\r\nconnection: close\r\n\r\n".utf8)
            try #require(unsafe send(descriptor, bytes, bytes.count, 0) == bytes.count)
        }

        deinit { close(descriptor) }

        func readToEnd() -> Int {
            var total = 0
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { return total }
                total += count
            }
        }
    }

    @Test(.timeLimit(.minutes(5))) func aReaderOfMetricsThatStandsStillHoldsNobodyUp() async throws {
        let directory = "/tmp/ringway-test-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/admin.sock"
        let ports = (0..<2000).map { ServicePortName(namespace: "default", name: "service-\($0)", port: "", transport: .tcp) }
        let subject = AdminSubject(
            report: { preconditionFailure("nobody asks for it") }, servicePorts: { ports },
            readings: { $0.map { ServiceReading(service: $0, counters: [UInt64](repeating: 1, count: Column.count)) } })
        let server = try await AdminServer(on: .socket(path), subject: subject, pageLimit: .seconds(600))
        let client = AdminClient.patient(path)

        // A socket takes a few hundred kilobytes and the page has megabytes, so these stand still in the middle of theirs.
        let slow = try SlowClient(path: path, request: "/metrics")
        let lost = try SlowClient(path: path, request: "/metrics")
        let whole = try await client.get("/metrics")
        #expect(whole.status == 200 && whole.body.utf8.count > 2 << 20)
        #expect(try await client.get("/readyz") == (200, "ok\n"))
        _ = consume lost
        #expect(try await client.get("/metrics").body.utf8.count > 2 << 20, "one that goes away in the middle harms nobody")
        #expect(slow.readToEnd() > whole.body.utf8.count, "the slow one gets all of it in the end, and a head")
        await server.stop()
    }
}
