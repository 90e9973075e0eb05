import Addressing
import Testing

@testable import AdminServer

struct HealthCheckTests {
    private static let checks = [
        HealthCheck("serving"), HealthCheck("listeners", .degraded("1 of 2 not open")), HealthCheck("workers", .failed("none")),
    ]

    @Test(
        arguments: [
            (["serving"], [], false, true, "ok\n"),
            (["serving"], [], true, true, "[+]serving ok\nreadyz check passed\n"),
            // What is amiss is said unasked.
            (["serving", "listeners"], [], false, true, "[+]serving ok\n[!]listeners degraded: 1 of 2 not open\nreadyz check passed\n"),
            (["serving", "workers"], [], false, false, "[+]serving ok\n[-]workers failed: none\nreadyz check failed\n"),
            (["serving", "workers"], ["workers"], false, true, "ok\n"),
            (["serving", "workers"], ["workers"], true, true, "[+]serving ok\n[+]workers excluded: ok\nreadyz check passed\n"),
        ] as [([String], Set<String>, Bool, Bool, String)])
    func anAnswerIsOneOfAKubernetesComponent(names: [String], excluded: Set<String>, isVerbose: Bool, passes: Bool, text: String) {
        let checks = Self.checks.filter { names.contains($0.name) }
        let answer = HealthCheck.answer("readyz", checks, excluded: excluded, isVerbose: isVerbose)
        #expect(answer.passed == passes && answer.text == text)
    }

    @Test func anAddressAnswersWhatAnybodyMayKnowAndATakenPortIsSaidPlainly() async throws {
        let subject = AdminSubject(report: { preconditionFailure("nobody asks for it") })
        let loopback = IPAddress("127.0.0.1")!
        let server = try await AdminServer(on: .address(loopback, port: 0), subject: subject)
        guard case .address(_, let port) = server.place else { preconditionFailure("it is an address") }
        #expect(port != 0 && server.place.description == "127.0.0.1:\(port)")
        let failure = await #expect(throws: AdminServerError.self) {
            try await AdminServer(on: .address(loopback, port: port), subject: subject)
        }
        #expect(failure?.kind == .inUse)
        #expect(failure?.description.contains("127.0.0.1:\(port)") == true && failure?.description.contains("--admin-listen") == true)
        await server.stop()
    }
}
