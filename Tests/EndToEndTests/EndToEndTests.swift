import Testing

/// The real program, real sockets, real peers, one test at a time: the machine may have two cores and no more. Scripts/test plays two
/// halves of them side by side, on two loopbacks.
///
/// Every wait has a bound and none depends on speed; whatever a test starts it ends by process id. Traffic stays on the loopback
/// interface or in network namespaces that the test makes for itself.
@Suite(.serialized)
struct EndToEndTests {
    @Test(.enabled(if: Engines.isUringGranted, "the kernel denies io_uring here: every test runs on epoll alone"))
    func ioUringRunsHere() throws {
        #expect(Engines.available == ["io_uring", "epoll"])
    }
}
