package import Addressing
import CLinux
import CLiburing
import Glibc

/// Datagrams on their way through a worker: what one call took from a socket, and what is queued to be sent from there.
///
/// A datagram is read into a place that holds the longest there can be, so none is ever cut short, and is sent from the same place.
/// Places are touched as far as datagrams are long. Everything the kernel is pointed at belongs to the batch, and the kernel looks
/// at it within a call only: nothing is under way between two of them.
///
/// It is one thread's, and what it calls back (`fill`, `body`) is given bytes and no batch. So nothing can change it under its own hands,
/// and no access is checked for that: the checks were an eighth of the instructions of an answer of DNS.
@safe
package final class DatagramBatch {
    /// Datagrams of a batch, and messages that may be queued.
    package static let capacity = 64
    /// Bytes of a place: what the length of an IP packet allows, and what the kernel joins at most (UDP_GRO).
    package static let placeBytes = 65_535
    /// Not a power of two: places that begin at the same distance from a page would share a few sets of the cache.
    private static let stride = 65_536 + 4096 + 192
    private static let nameBytes = 32
    private static let controlBytes = 96
    /// Of a place: a header, a vector, a name and control messages, each to receive and to send.
    private static let argumentBytes =
        unsafe 2 * (MemoryLayout<ringway_message>.stride + MemoryLayout<iovec>.stride + nameBytes + controlBytes)

    /// What was received: a datagram, or several of one sender that the kernel has joined.
    package struct Datagram: BitwiseCopyable, Sendable {
        package var length: Int
        /// Bytes of each of the datagrams that were joined, but for the last, which may be shorter; 0 where there is one.
        package var segment: Int
        /// Its sender, of a socket that is not connected; nil for one that can't be answered (port 0).
        package var from: SocketAddress?
        /// The address it was sent to, of a listener on every address.
        package var to: IPAddress?

        package init(length: Int, segment: Int = 0, from: SocketAddress? = nil, to: IPAddress? = nil) {
            self.length = length
            self.segment = segment
            self.from = from
            self.to = to
        }

        /// Datagrams in it.
        package var count: Int { segment == 0 ? 1 : (length &+ segment &- 1) / segment }
    }

    /// Neighbouring places that are sent as one message.
    package struct Queued: BitwiseCopyable, Sendable {
        package let first: Int
        /// Places.
        package let count: Int
        /// Bytes of each datagram but the last where there are several; 0 for a single one.
        package let segment: Int
        package let bytes: Int
        package let datagrams: Int
    }

    /// What changes. As one value, that none of its accesses is checked has to be said at one place.
    private struct State: ~Copyable {
        var count = 0
        var queuedCount = 0
        var truncatedCount: UInt64 = 0
        /// Places in whose headers the kernel has written, and those before them.
        var usedHeaders = 0
        var datagrams = FixedTable<Datagram>(zeroedCapacity: capacity)
        var queue = FixedTable<Queued>(zeroedCapacity: capacity)
        /// Messages at the head of the queue that have been sent.
        var sentCount = 0
    }

    @exclusivity(unchecked) private var uncheckedState = State()
    private var state: State {
        _read { yield unsafe uncheckedState }
        _modify { yield unsafe &uncheckedState }
    }

    package var count: Int { state.count }
    package var queuedCount: Int { state.queuedCount }
    /// Datagrams that were cut short by the kernel, and are not in the batch: none, or the places are too small.
    package var truncatedCount: UInt64 { state.truncatedCount }

    private let places = unsafe mapZeroed(capacity * stride)
    private let arguments: UnsafeMutableRawPointer
    private let received: UnsafeMutablePointer<ringway_message>
    private let sending: UnsafeMutablePointer<ringway_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let sendingVectors: UnsafeMutablePointer<iovec>
    private let partVector: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutableRawPointer
    private let sendingNames: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer
    private let sendingControls: UnsafeMutableRawPointer
    package let takesNames: Bool

    /// - Parameter takesNames: whether senders are asked for; those of connected sockets are known.
    package init(takesNames: Bool) {
        self.takesNames = takesNames
        unsafe arguments = mapZeroed(Self.capacity * Self.argumentBytes + MemoryLayout<iovec>.stride)
        var next = unsafe arguments
        func part(_ bytes: Int) -> UnsafeMutableRawPointer {
            defer { unsafe next += Self.capacity * bytes }
            return unsafe next
        }
        let message = unsafe MemoryLayout<ringway_message>.stride
        unsafe received = part(message).bindMemory(to: ringway_message.self, capacity: Self.capacity)
        unsafe sending = part(message).bindMemory(to: ringway_message.self, capacity: Self.capacity)
        unsafe vectors = part(MemoryLayout<iovec>.stride).bindMemory(to: iovec.self, capacity: Self.capacity)
        unsafe sendingVectors = part(MemoryLayout<iovec>.stride).bindMemory(to: iovec.self, capacity: Self.capacity)
        unsafe names = part(Self.nameBytes)
        unsafe sendingNames = part(Self.nameBytes)
        unsafe controls = part(Self.controlBytes)
        unsafe sendingControls = part(Self.controlBytes)
        unsafe partVector = next.bindMemory(to: iovec.self, capacity: 1)
        for index in 0..<Self.capacity {
            unsafe vectors[index] = iovec(iov_base: place(index), iov_len: Self.placeBytes)
            prepare(index)
        }
    }

    deinit {
        unsafe munmap(places, Self.capacity * Self.stride)
        unsafe munmap(arguments, Self.capacity * Self.argumentBytes + MemoryLayout<iovec>.stride)
    }

    package var room: Int { Self.capacity &- count }

    package subscript(index: Int) -> Datagram {
        precondition(index >= 0 && index < count, "no such datagram")
        return state.datagrams[index]
    }

    /// Forgets everything, what is queued included.
    package func removeAll() {
        for index in 0..<state.usedHeaders { prepare(index) }
        state.usedHeaders = 0
        state.count = 0
        removeQueued()
    }

    private func place(_ index: Int) -> UnsafeMutableRawPointer { unsafe places + index &* Self.stride }

    /// The kernel writes into a header how much it has used of what is offered there.
    private func prepare(_ index: Int) {
        var header = unsafe msghdr()
        if takesNames {
            unsafe header.msg_name = names + index &* Self.nameBytes
            unsafe header.msg_namelen = socklen_t(Self.nameBytes)
        }
        unsafe header.msg_iov = vectors + index
        unsafe header.msg_iovlen = 1
        unsafe header.msg_control = controls + index &* Self.controlBytes
        unsafe header.msg_controllen = Self.controlBytes
        unsafe received[index] = ringway_message(header: header, length: 0)
    }

    // MARK: - Receiving

    /// recvmmsg(2) of as many as there are, and room for: their number, or a negative errno.
    func receive(_ descriptor: Int32, most: Int) -> Int {
        let wanted = min(most, room)
        precondition(wanted > 0, "no room for datagrams")
        let result = unsafe ringway_receive_messages(descriptor, received + count, UInt32(wanted), Int32(MSG_DONTWAIT))
        guard result > 0 else { return result < 0 ? -Int(errno) : 0 }
        let begin = count
        for index in begin..<begin &+ Int(result) { take(index) }
        state.usedHeaders = count
        return Int(result)
    }

    private func take(_ index: Int) {
        let header = unsafe received[index].header
        var datagram = Datagram(length: Int(unsafe received[index].length))
        if takesNames {
            unsafe datagram.from = SocketAddress(kernelAddress: UnsafeRawBufferPointer(start: header.msg_name, count: Self.nameBytes))
        }
        if unsafe header.msg_controllen > 0 {
            unsafe readControl(UnsafeRawBufferPointer(start: header.msg_control, count: header.msg_controllen), &datagram)
        }
        if unsafe header.msg_flags & Int32(MSG_TRUNC) != 0 {
            state.truncatedCount &+= 1
            // It keeps its place, so that the others keep theirs, and nobody can be sent half of it.
            datagram.from = nil
            datagram.length = 0
        }
        state.datagrams[index] = datagram
        state.count = index &+ 1
    }

    /// cmsg(3): headers of 16 bytes, each followed by its value, at multiples of 8.
    private func readControl(_ bytes: UnsafeRawBufferPointer, _ datagram: inout Datagram) {
        var offset = 0
        while offset &+ 16 <= bytes.count {
            let length = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: Int.self)
            guard length >= 16, offset &+ length <= bytes.count else { return }
            let level = unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 8, as: Int32.self)
            let type = unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 12, as: Int32.self)
            switch (level, type) {
            case (Int32(IPPROTO_UDP), Int32(RINGWAY_UDP_GRO)):
                let segment = Int(unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 16, as: Int32.self))
                if segment > 0, segment < datagram.length { datagram.segment = segment }
            case (Int32(IPPROTO_IP), Int32(IP_PKTINFO)):
                // struct in_pktinfo: the interface, our address for an answer, the address that was asked.
                datagram.to = IPAddress(ipv4: UInt32(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 20, as: UInt32.self)))
            case (Int32(IPPROTO_IPV6), Int32(IPV6_PKTINFO)):
                datagram.to = IPAddress(
                    ipv6High: UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 16, as: UInt64.self)),
                    low: UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset &+ 24, as: UInt64.self)))
            default: break
            }
            offset &+= (length &+ 7) & ~7
        }
    }

    // MARK: - Sending

    /// Queues neighbouring places as one message.
    ///
    /// - Parameters:
    ///   - segment: bytes of each datagram but the last; 0 where the message is one datagram.
    ///   - to: whom it is for; nil on a connected socket.
    ///   - source: the address of ours that it is to come from, on a listener on every address.
    package func enqueue(first: Int, count places: Int, segment: Int, to: SocketAddress? = nil, source: IPAddress? = nil) {
        precondition(places > 0 && first >= 0 && first &+ places <= count, "no such datagrams")
        let index = queuedCount
        var (bytes, number) = (0, 0)
        for place in first..<first &+ places {
            bytes &+= state.datagrams[place].length
            number &+= state.datagrams[place].count
            unsafe sendingVectors[place] = iovec(iov_base: self.place(place), iov_len: state.datagrams[place].length)
        }
        state.queue[index] = Queued(first: first, count: places, segment: segment, bytes: bytes, datagrams: number)
        state.queuedCount &+= 1
        var header = unsafe msghdr()
        unsafe header.msg_iov = sendingVectors + first
        unsafe header.msg_iovlen = places
        if let to {
            let name = unsafe sendingNames + index &* Self.nameBytes
            unsafe header.msg_namelen = to.encode(into: name)
            unsafe header.msg_name = name
        }
        let control = unsafe sendingControls + index &* Self.controlBytes
        var used = 0
        if let source { used = unsafe Self.writeSource(source, to: control) }
        if segment > 0 { unsafe used = Self.writeSegment(segment, to: control, at: used) }
        if used > 0 {
            unsafe header.msg_control = control
            unsafe header.msg_controllen = used
        }
        unsafe sending[index] = ringway_message(header: header, length: 0)
    }

    private static let sourceBytes4 = 32
    private static let sourceBytes6 = 40
    private static let segmentBytes = 24

    private static func writeHeader(_ control: UnsafeMutableRawPointer, _ offset: Int, _ length: Int, _ level: Int32, _ type: Int32) {
        unsafe control.storeBytes(of: length, toByteOffset: offset, as: Int.self)
        unsafe control.storeBytes(of: level, toByteOffset: offset &+ 8, as: Int32.self)
        unsafe control.storeBytes(of: type, toByteOffset: offset &+ 12, as: Int32.self)
    }

    private static func writeSource(_ source: IPAddress, to control: UnsafeMutableRawPointer) -> Int {
        switch source.family {
        case .ipv4:
            unsafe writeHeader(control, 0, 16 + 12, Int32(IPPROTO_IP), Int32(IP_PKTINFO))
            unsafe control.storeBytes(of: 0, toByteOffset: 16, as: Int32.self)
            unsafe control.storeBytes(of: UInt32(truncatingIfNeeded: source.low).bigEndian, toByteOffset: 20, as: UInt32.self)
            unsafe control.storeBytes(of: 0, toByteOffset: 24, as: UInt32.self)
            return sourceBytes4
        case .ipv6:
            unsafe writeHeader(control, 0, 16 + 20, Int32(IPPROTO_IPV6), Int32(IPV6_PKTINFO))
            unsafe control.storeBytes(of: source.high.bigEndian, toByteOffset: 16, as: UInt64.self)
            unsafe control.storeBytes(of: source.low.bigEndian, toByteOffset: 24, as: UInt64.self)
            unsafe control.storeBytes(of: 0, toByteOffset: 32, as: Int32.self)
            return sourceBytes6
        }
    }

    private static func writeSegment(_ segment: Int, to control: UnsafeMutableRawPointer, at offset: Int) -> Int {
        unsafe writeHeader(control, offset, 16 + 2, Int32(IPPROTO_UDP), Int32(RINGWAY_UDP_SEGMENT))
        unsafe control.storeBytes(of: UInt16(truncatingIfNeeded: segment), toByteOffset: offset &+ 16, as: UInt16.self)
        return offset &+ segmentBytes
    }

    /// The message that is sent next.
    package var firstQueued: Queued? { state.sentCount < queuedCount ? state.queue[state.sentCount] : nil }

    /// Datagrams in all messages that are still to be sent.
    package var queuedDatagrams: Int {
        var number = 0
        for index in state.sentCount..<queuedCount { number &+= state.queue[index].datagrams }
        return number
    }

    /// Rewrites the message that is sent next, a single datagram; `body` is given its bytes and their number, and says how many are left.
    ///
    /// - Returns: whether it has become shorter.
    package func shortenFirstQueued(_ body: (inout MutableSpan<UInt8>, Int) -> Int) -> Bool {
        guard let message = firstQueued, message.count == 1, message.segment == 0 else { return false }
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: place(message.first), count: message.bytes).bindMemory(to: UInt8.self)
        var span = unsafe bytes.mutableSpan
        let length = body(&span, message.bytes)
        guard length < message.bytes else { return false }
        state.datagrams[message.first].length = length
        unsafe sendingVectors[message.first].iov_len = length
        state.queue[state.sentCount] = Queued(first: message.first, count: 1, segment: 0, bytes: length, datagrams: 1)
        return true
    }

    /// Gives up the message that would be sent next.
    package func dropFirstQueued() {
        precondition(state.sentCount < queuedCount, "nothing is queued")
        state.sentCount &+= 1
        if state.sentCount == queuedCount { removeQueued() }
    }

    package func removeQueued() {
        state.queuedCount = 0
        state.sentCount = 0
    }

    /// Sends the first of the queue, or as many of it as one call takes: their number, or a negative errno.
    func sendSome(_ descriptor: Int32, isSingle: Bool) -> Int {
        let left = isSingle ? 1 : queuedCount &- state.sentCount
        let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
        var result: Int
        if left == 1 {
            let header = unsafe sending + state.sentCount
            if unsafe header.pointee.header.msg_iovlen == 1, unsafe header.pointee.header.msg_name == nil,
                unsafe header.pointee.header.msg_controllen == 0
            {
                let vector = unsafe header.pointee.header.msg_iov.pointee
                result = unsafe send(descriptor, vector.iov_base, vector.iov_len, flags)
            } else {
                result = unsafe sendmsg(descriptor, &header.pointee.header, flags)
            }
            if result >= 0 { result = 1 }
        } else {
            result = Int(unsafe ringway_send_messages(descriptor, sending + state.sentCount, UInt32(left), flags))
        }
        return result >= 0 ? result : -Int(errno)
    }

    /// Sends the datagrams of the first message one by one: what UDP_SEGMENT would have done. 0, or the errno of one that failed, with
    /// which the rest is given up; and the calls that were made.
    func sendApart(_ descriptor: Int32) -> (error: Int32, calls: UInt64) {
        let message = state.queue[state.sentCount]
        var header = unsafe sending[state.sentCount].header
        unsafe header.msg_iovlen = 1
        // What says how to cut it comes last.
        unsafe header.msg_controllen -= Self.segmentBytes
        if unsafe header.msg_controllen == 0 { unsafe header.msg_control = nil }
        var calls: UInt64 = 0
        for index in message.first..<message.first &+ message.count {
            let step = state.datagrams[index].segment == 0 ? state.datagrams[index].length : state.datagrams[index].segment
            var offset = 0
            while offset < state.datagrams[index].length {
                let length = min(step, state.datagrams[index].length &- offset)
                // Not in place of the message's own vectors: it may have to be sent again, as a whole.
                unsafe partVector.pointee = iovec(iov_base: place(index) + offset, iov_len: length)
                unsafe header.msg_iov = partVector
                calls &+= 1
                guard unsafe sendmsg(descriptor, &header, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) >= 0 else {
                    return (errno, calls)
                }
                offset &+= length
            }
        }
        return (0, calls)
    }

    // MARK: - Reading, and answering from here

    /// Calls `body` with bytes of a datagram.
    package func withBytes(of index: Int, _ range: Range<Int>, _ body: (Span<UInt8>) -> Void) {
        precondition(range.lowerBound >= 0 && range.upperBound <= self[index].length, "bytes outside the datagram")
        unsafe body(UnsafeRawBufferPointer(start: place(index) + range.lowerBound, count: range.count).bindMemory(to: UInt8.self).span)
    }

    /// The same with all of a datagram's bytes.
    package func withBytes(of index: Int, _ body: (Span<UInt8>) -> Void) {
        precondition(index >= 0 && index < count, "no such datagram")
        unsafe body(UnsafeRawBufferPointer(start: place(index), count: state.datagrams[index].length).bindMemory(to: UInt8.self).span)
    }

    /// Queues a datagram behind the others; `fill` writes it where it will be sent from, and answers its length. 0: there is none.
    package func enqueue(to: SocketAddress?, source: IPAddress?, _ fill: (inout MutableSpan<UInt8>) -> Int) {
        precondition(count < Self.capacity, "no room for the datagram")
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: place(count), count: Self.placeBytes).bindMemory(to: UInt8.self)
        var span = unsafe bytes.mutableSpan
        let length = fill(&span)
        guard length > 0 else { return }
        precondition(length <= Self.placeBytes, "more bytes than a datagram has")
        state.datagrams[count] = Datagram(length: length)
        state.count &+= 1
        enqueue(first: count &- 1, count: 1, segment: 0, to: to, source: source)
    }

    // MARK: - For drivers without a kernel, and for tests

    /// Puts a datagram behind those that are there.
    package func append(_ bytes: [UInt8], segment: Int = 0, from: SocketAddress? = nil, to: IPAddress? = nil) {
        append(from: from, to: to)
        unsafe bytes.withUnsafeBytes { unsafe extendLast(with: $0, segment: segment) }
    }

    /// Puts a datagram without bytes behind those that are there.
    package func append(from: SocketAddress?, to: IPAddress?) {
        precondition(count < Self.capacity, "no room for the datagram")
        state.datagrams[count] = Datagram(length: 0, from: from, to: to)
        state.count &+= 1
    }

    /// Puts bytes behind those of the last datagram; `segment` says where they join it as further ones.
    package func extendLast(from bytes: borrowing FixedTable<UInt8>, at position: Int, count: Int, segment: Int = 0) {
        precondition(position >= 0 && count >= 0 && position <= bytes.capacity &- count, "bytes outside the table")
        unsafe extendLast(with: UnsafeRawBufferPointer(start: bytes.base + position, count: count), segment: segment)
    }

    private func extendLast(with bytes: UnsafeRawBufferPointer, segment: Int) {
        let last = count &- 1
        let length = state.datagrams[last].length
        precondition(bytes.count <= Self.placeBytes &- length, "no room for the bytes")
        if let source = bytes.baseAddress { unsafe (place(last) + length).copyMemory(from: source, byteCount: bytes.count) }
        state.datagrams[last].length = length &+ bytes.count
        state.datagrams[last].segment = segment
    }

    package func copyBytes(of index: Int) -> [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: place(index), count: self[index].length))
    }

    /// Copies `count` bytes of a datagram, from `offset` on, into a table.
    package func copyBytes(of index: Int, from offset: Int, count: Int, to bytes: inout FixedTable<UInt8>, at position: Int) {
        precondition(offset >= 0 && count >= 0 && offset <= self[index].length &- count, "bytes outside the datagram")
        precondition(position >= 0 && position <= bytes.capacity &- count, "bytes outside the table")
        unsafe UnsafeMutableRawPointer(bytes.base + position).copyMemory(from: place(index) + offset, byteCount: count)
    }

    /// Where the first queued message goes, and what address of ours it is to come from.
    package var firstQueuedAddresses: (to: SocketAddress?, source: IPAddress?) {
        precondition(state.sentCount < queuedCount, "nothing is queued")
        let header = unsafe sending[state.sentCount].header
        let to = unsafe header.msg_name.flatMap {
            unsafe SocketAddress(kernelAddress: UnsafeRawBufferPointer(start: $0, count: Self.nameBytes))
        }
        var datagram = Datagram(length: 0)
        if unsafe header.msg_controllen > 0 {
            unsafe readControl(UnsafeRawBufferPointer(start: header.msg_control, count: header.msg_controllen), &datagram)
        }
        return (to, datagram.to)
    }
}
