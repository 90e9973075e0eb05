import Foundation
import Testing

/// Which engine runs, and what is said of it, on a host that denies io_uring and on this one.
extension EndToEndTests {
    @Suite struct EngineChoiceTests {
        /// A command that takes io_uring from what it runs, as a container's seccomp profile does.
        private let denied = RunningRingway.denied("uring")

        @Test func whereSeccompDeniesItEpollRunsAndSaysWhy() throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            try withRingway("auto", ["\(port)=\(backend.port)"], prefix: denied) { ringway in
                #expect(ringway.process.output.contains("engine   epoll: io_uring denied by seccomp"))
                let answer = try TestSocket(to: "127.0.0.1", port).receiveAll()
                #expect(answer == "served")
            }
        }

        @Test func anEngineAskedForByNameIsRefusedAndNotReplaced() throws {
            let outcome = try ChildProcess.run(
                denied + [RunningRingway.binary, "run", "--engine", "io_uring", "--admin-socket", "none", "1=2"])
            #expect(outcome.exit == .code(1))
            #expect(outcome.error.contains("io_uring denied by seccomp; use --engine auto or --engine epoll"))
        }

        @Test func theVersionNamesEngineAndKernel() throws {
            let outcome = try ChildProcess.run(denied + [RunningRingway.binary, "--version"])
            #expect(outcome.exit == .code(0))
            #expect(outcome.output.contains("ringway 0."))
            #expect(outcome.output.contains("epoll (io_uring denied by seccomp)"))
            #expect(outcome.output.contains("Linux \(try String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8).prefix(4))"))
        }

        @Test(.enabled(if: Engines.isUringGranted, "the kernel denies io_uring here"))
        func whereItIsGrantedAutoTakesIt() throws {
            let port = try FreePort.take()
            try withRingway("auto", ["\(port)=1"]) { ringway in
                #expect(ringway.process.output.contains("engine   io_uring ("))
            }
        }
    }
}
