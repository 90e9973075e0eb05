import Addressing
import Glibc
import Routing
import Testing

@testable import Forwarding

struct BindFailureTests {
    @Test(arguments: [(TransportProtocol.tcp, "ss -ltnp"), (.udp, "ss -lunp")])
    func aPortInUseIsSaidWithTheCommandThatShowsWhoHasIt(_ transport: TransportProtocol, _ command: String) throws {
        let key = FrontendKey(try #require(SocketAddress("127.0.0.1:53")), transport)
        #expect(BindFailure.text(errno: EADDRINUSE, key) == "port 53 is in use by another process; `\(command)` names it")
    }
}
