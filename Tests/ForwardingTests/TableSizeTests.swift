import Routing
import Testing

@testable import Engine
@testable import Forwarding

/// What a connection that does nothing takes of user memory: its rows in all tables, and no buffer.
struct TableSizeTests {
    /// Rows of a worker's tables for each flow, also those that only some settings touch.
    static let ofFlow =
        MemoryLayout<TCPFlow>.stride + MemoryLayout<UInt32>.stride + MemoryLayout<TimerWheel.Link>.stride
        + MemoryLayout<ProxyAddresses>.stride + MemoryLayout<ConnectionNotes>.stride
        + 2 * (MemoryLayout<LegName>.stride + MemoryLayout<Bool>.stride)
    /// Rows of a driver's tables for each socket, also those that only transfers touch.
    static let ofSocket = MemoryLayout<KernelSockets.Row>.stride + MemoryLayout<Transfers.Row>.stride

    @Test func theRowsOfAConnectionStayWithin512Bytes() {
        let uring = Self.ofFlow + 2 * (Self.ofSocket + MemoryLayout<UringDriver.Resting>.stride)
        let epoll = Self.ofFlow + 2 * Self.ofSocket + 2 * MemoryLayout<EpollDriver.State>.stride
        #expect(uring <= 512 && epoll <= 512, "io_uring \(uring), epoll \(epoll)")
    }

    @Test func aLineOfTheLogIs104BytesToAWorker() {
        #expect(MemoryLayout<ConnectionRecord>.stride == 104)
    }
}
