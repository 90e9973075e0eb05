/// The requests of a run that are not settled yet, oldest first, named by their number since the start.
///
/// All have the same time to live, so that the oldest runs out first; requests are sent in order, so that those waiting for a
/// connection are the last ones.
struct RequestLog {
    private var requests: [Request] = []
    /// The number of `requests[0]`.
    private var base = 0
    private var head = 0

    struct Request {
        let beganNanoseconds: UInt64
        var slot: Int?
        var isSettled = false
    }

    /// Numbers of the requests that are kept: from the oldest that is open to the newest.
    var numbers: Range<Int> { base + head..<base + requests.count }
    var isEmpty: Bool { head == requests.count }
    /// When the oldest open request began.
    var oldestNanoseconds: UInt64? { isEmpty ? nil : requests[head].beganNanoseconds }

    subscript(number: Int) -> Request {
        get { requests[number - base] }
        set { requests[number - base] = newValue }
    }

    @discardableResult
    mutating func append(beganNanoseconds: UInt64, slot: Int? = nil) -> Int {
        requests.append(Request(beganNanoseconds: beganNanoseconds, slot: slot))
        return base + requests.count - 1
    }

    /// Takes a request off the books.
    mutating func settle(_ number: Int) {
        precondition(!self[number].isSettled, "a request is settled once")
        self[number].isSettled = true
        while head < requests.count, requests[head].isSettled { head += 1 }
        if head == requests.count || head >= 4096 && head * 2 >= requests.count {
            base += head
            requests.removeFirst(head)
            head = 0
        }
    }
}
