import Addressing
import Engine

extension DatagramBatch {
    /// The end of the datagrams from `first` on that are of one client and for one address.
    func endOfSender(from first: Int) -> Int {
        let datagram = self[first]
        var end = first &+ 1
        while end < count, self[end].from == datagram.from, self[end].to == datagram.to { end &+= 1 }
        return end
    }

    /// Queues datagrams of one sender, joined to as few messages as keep their boundaries: those of equal size that follow on each
    /// other go as one (UDP_SEGMENT), and the last of these may be shorter. An empty one goes by itself: joined it would vanish.
    func enqueueJoined(_ range: Range<Int>, to: SocketAddress? = nil, source: IPAddress? = nil) {
        var first = range.lowerBound
        while first < range.upperBound {
            let head = self[first]
            let segment = head.segment > 0 ? head.segment : head.length
            var end = first &+ 1
            var bytes = head.length
            var number = head.count
            // Whether another one may follow: the last one so far fills its segment.
            var isOpen = segment > 0 && head.length % segment == 0
            while end < range.upperBound, isOpen {
                let next = self[end]
                guard next.length > 0, next.segment == segment || next.segment == 0 && next.length <= segment,
                    number &+ next.count <= Limits.datagramsJoinedMax, bytes &+ next.length <= Limits.joinedBytesMax
                else { break }
                bytes &+= next.length
                number &+= next.count
                isOpen = next.length % segment == 0
                end &+= 1
            }
            enqueue(first: first, count: end &- first, segment: number > 1 ? segment : 0, to: to, source: source)
            first = end
        }
    }

    /// The end of the first places of a range that are no more bytes than these together.
    func endWithin(_ range: Range<Int>, bytes: UInt64) -> Int {
        var left = bytes
        for index in range {
            guard UInt64(self[index].length) <= left else { return index }
            left &-= UInt64(self[index].length)
        }
        return range.upperBound
    }

    /// Bytes and datagrams of a range of places.
    func totals(_ range: Range<Int>) -> (bytes: Int, datagrams: Int) {
        var (bytes, datagrams) = (0, 0)
        for index in range {
            bytes &+= self[index].length
            datagrams &+= self[index].count
        }
        return (bytes, datagrams)
    }
}
