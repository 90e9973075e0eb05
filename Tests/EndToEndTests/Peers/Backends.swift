import Foundation
import Synchronization

/// A backend inside the test: what it does with each connection is the test's closure, on a thread of its own.
final class ScriptedBackend: Sendable {
    let port: Int
    private let listener: TestSocket
    private let counter: Counter

    /// How many connections have come.
    var accepted: Int { counter.value }

    init(on address: String = "127.0.0.1", _ serve: @escaping @Sendable (TestSocket) throws -> Void) throws {
        port = try FreePort.take(on: address)
        listener = try TestSocket(listeningOn: address, port)
        counter = Counter()
        let (listener, counter) = (listener, counter)
        onThread {
            while !counter.isStopped {
                guard let connection = try? listener.accept() else { continue }
                counter.add(1)
                onThread { try? serve(connection) }
            }
        }
    }

    deinit {
        counter.stop()
        listener.interrupt()
    }

    /// Sends back what it gets, and FIN for FIN.
    static func echo(on address: String = "127.0.0.1") throws -> ScriptedBackend {
        try ScriptedBackend(on: address) { connection in
            while true {
                let bytes = try connection.receive()
                if bytes.isEmpty { break }
                try connection.send(bytes)
            }
            connection.shutdownWrite()
        }
    }

    /// Says its name and ends the connection.
    static func named(_ name: String) throws -> ScriptedBackend {
        try ScriptedBackend { connection in
            try connection.send(name)
            connection.shutdownWrite()
            _ = connection.ending()
        }
    }
}

/// A number that several threads count on.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    private let stopped = Atomic<Bool>(false)

    var value: Int { count.load(ordering: .acquiring) }
    var isStopped: Bool { stopped.load(ordering: .acquiring) }

    func add(_ number: Int) { count.add(number, ordering: .releasing) }
    func stop() { stopped.store(true, ordering: .releasing) }
}

/// The result of work on another thread.
final class Pending<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)

    init(_ work: @escaping @Sendable () throws -> Value) {
        onThread { [self] in
            let outcome = Result { try work() }
            result.withLock { $0 = outcome }
        }
    }

    var isDone: Bool { result.withLock { $0 != nil } }

    /// Waits for it.
    func value(within limit: Duration = .seconds(60)) throws -> Value {
        try waitUntil("the end of work on another thread", within: limit) { isDone }
        return try result.withLock { try $0!.get() }
    }
}

/// Runs a closure on a new thread: the closures of these tests block, and the runtime's own threads are few.
func onThread(_ body: @escaping @Sendable () -> Void) { Thread.detachNewThread(body) }

/// nginx, as one process: HTTP servers that answer with their own names.
final class Nginx: Sendable {
    let ports: [Int]
    let process: ChildProcess
    private let directory: TemporaryDirectory

    /// Where `/file` finds its bytes.
    static let fileBytes = 8 << 20

    /// Starts one server for each name; `/file` gives `fileBytes` bytes at a few megabytes a second, `/trickle` at two
    /// kilobytes.
    ///
    /// - Parameters:
    ///   - addresses: where server n listens; 127.0.0.1 where it names none.
    ///   - expectsProxyProtocol: every connection must begin with a PROXY header, and the answer is what it told.
    ///   - prefix: a command that runs it, `nsenter …`.
    init(
        _ names: [String], addresses: [String] = [], port: Int? = nil, expectsProxyProtocol: Bool = false, prefix: [String] = []
    ) throws {
        directory = try TemporaryDirectory()
        let root = directory.root
        var ports: [Int] = []
        var servers = ""
        let told = "$proxy_protocol_addr $proxy_protocol_server_addr $proxy_protocol_server_port"
        for (index, name) in names.enumerated() {
            let address = index < addresses.count ? addresses[index] : "127.0.0.1"
            let port = try port ?? FreePort.take(on: address)
            ports.append(port)
            servers += """
                    server {
                        listen \(address.contains(":") ? "[\(address)]" : address):\(port)\(expectsProxyProtocol ? " proxy_protocol" : "");
                        default_type text/plain;
                        location / { return 200 "\(expectsProxyProtocol ? told : name)\\n"; }
                        location /file { alias \(root)/file; limit_rate 4m; }
                        location /trickle { alias \(root)/file; limit_rate 2k; }
                    }

                """
        }
        try directory.write(String(repeating: "0123456789abcdef", count: Self.fileBytes / 16), to: "file")
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "    \($0)_temp_path \(root)/\($0);\n" }.joined()
        let configuration = try directory.write(
            """
            daemon off;
            # Who is root in a user namespace of their own can't give files to anybody else.
            user root;
            master_process off;
            pid \(root)/nginx.pid;
            error_log stderr warn;
            events { worker_connections 2048; }
            http {
                access_log off;
                keepalive_requests 1000000;
            \(temporary)\(servers)}

            """, to: "nginx.conf")
        process = try ChildProcess(prefix + ["nginx", "-p", root, "-c", configuration], in: directory)
        self.ports = ports
        let process = process
        try waitUntil("nginx writes its pid") {
            guard process.isRunning else { throw ChildProcess.Failure(description: "nginx ended: \(process.error)") }
            return FileManager.default.fileExists(atPath: "\(root)/nginx.pid")
        }
    }

    deinit { process.end() }

    /// The endpoints in the form of the shorthand and of the annotation.
    var endpoints: String { ports.map { "127.0.0.1:\($0)" }.joined(separator: ",") }
}
