import Testing

@testable import DNS

struct UpstreamResponseTests {
    private static let name = "www.example.com"

    private static func read(_ bytes: [UInt8], type: RecordType = .a, id: UInt16 = 0x1234) -> UpstreamResponse.Reading {
        let name = wireName(Self.name)
        let question = Question(
            type: type, recordClass: 1, recursionDesired: true, checkingDisabled: false, dnssecOK: false, name: name.span, secret: 0)
        return UpstreamResponse.read(bytes.span, id: id, question: question, name: name.span)
    }

    private static func response(_ message: TestMessage, type: RecordType = .a) -> UpstreamResponse? {
        guard case .response(let response) = read(message.wire, type: type) else { return nil }
        return response
    }

    private static let answered = TestMessage(flags: 0x8180, answers: [.a(name, 1, ttl: 60), .a(name, 2, ttl: 90)])

    @Test func aReplyIsToItsQuestionOnly() {
        guard case .response = Self.read(Self.answered.wire) else {
            Issue.record("a good reply is not taken")
            return
        }
        var others: [TestMessage] = []
        func other(_ change: (inout TestMessage) -> Void) {
            var message = Self.answered
            change(&message)
            others.append(message)
        }
        other { $0.id = 0x1235 }
        other { $0.flags = 0x0180 }
        other { $0.flags = 0xa180 }
        other { $0.name = "wwx.example.com" }
        other { $0.name = "WWW.example.com" }
        other { $0.name = "www.example.org" }
        other { $0.type = .aaaa }
        other { $0.recordClass = 3 }
        for message in others {
            guard case .foreign = Self.read(message.wire) else {
                Issue.record("taken: \(message)")
                continue
            }
        }
        guard case .foreign = Self.read([]), case .foreign = Self.read(Array(Self.answered.wire.prefix(20))) else {
            Issue.record("a part is taken")
            return
        }
    }

    @Test func lifetimesAreThoseOfWhatIsTold() {
        let name = Self.name
        func lifetime(_ message: TestMessage, _ type: RecordType = .a) -> (UInt32?, Bool)? {
            Self.response(message, type: type).map { ($0.lifetime, $0.isNegative) }
        }
        #expect(lifetime(Self.answered)! == (60, false))
        var message = Self.answered
        message.authorities = [.cname("example.com", "a.example", ttl: 50)]
        #expect(lifetime(message)! == (50, false))
        message.additionals = [.a("ns.example.com", 3, ttl: 40), .opt()]
        #expect(lifetime(message)! == (40, false))
        message.answers[0].ttl = 0x8000_0000
        #expect(lifetime(message)! == (0, false))

        let soa = TestMessage.Record.soa("example.com", ttl: 600, minimum: 30)
        var denial = TestMessage(flags: 0x8183, authorities: [soa])
        #expect(lifetime(denial)! == (30, true))
        denial.flags = 0x8180
        #expect(lifetime(denial)! == (30, true))
        denial.answers = [.cname(name, "b.example.com", ttl: 20)]
        #expect(lifetime(denial)! == (20, true))
        #expect(lifetime(denial.asking(.cname), .cname)! == (20, false))
        denial.authorities = [.soa("example.com", ttl: 10, minimum: 30)]
        #expect(lifetime(denial)! == (10, true))
        // Without a SOA nobody knows how long (RFC 2308, 5).
        denial.authorities = []
        #expect(lifetime(denial)! == (nil, true))
        denial.flags = 0x8183
        #expect(lifetime(denial)! == (nil, true))
    }

    @Test func nothingIsKeptOfFailuresAndOfWhatIsCutShort() {
        var message = Self.answered
        message.flags = 0x8182
        #expect(Self.response(message)?.lifetime == nil)
        message.flags = 0x8380
        #expect(Self.response(message)?.lifetime == nil && Self.response(message)?.isTruncated == true)
        // Cut within a record: what is whole counts.
        guard case .response(let response) = Self.read(message.wire.dropLast(3)) else {
            Issue.record("not taken")
            return
        }
        #expect(response.answers == 1 && response.end == message.wire.count - 16)
    }

    @Test func optAndWhatStandsBehindItAreLeftOut() {
        var message = Self.answered
        let bare = message.wire.count
        message.additionals = [.opt(code: 1), .a("ns.example.com", 3)]
        let response = Self.response(message)
        #expect(response?.end == bare && response?.additionals == 0 && response?.code == 16)
        message.additionals = [.a("ns.example.com", 3), .opt()]
        #expect(Self.response(message).map { $0.end > bare && $0.additionals == 1 && $0.code == 0 } == true)
        message.additionals = [.opt(), .opt()]
        guard case .malformed = Self.read(message.wire) else {
            Issue.record("two OPT records are taken")
            return
        }
    }

    @Test func whatIsNotWholeIsMalformed() {
        let whole = TestMessage(
            flags: 0x8180, answers: [.cname(Self.name, "b.example.com"), .a("b.example.com", 1)],
            authorities: [.soa("example.com", ttl: 1, minimum: 1)], additionals: [.opt()]
        ).wire
        let questionEnd = 12 + wireName(Self.name).count + 4
        for length in questionEnd..<whole.count {
            guard case .malformed = Self.read(Array(whole.prefix(length))) else {
                Issue.record("\(length) bytes of \(whole.count) are taken")
                continue
            }
        }
        guard case .malformed = Self.read(whole + [0]) else {
            Issue.record("more than it says is taken")
            return
        }
    }

    @Test func aRefusalWithoutAQuestionIsKnown() {
        let header = bytes16(0x1234) + bytes16(0x8181) + [UInt8](repeating: 0, count: 8)
        guard case .bare(1) = Self.read(header) else {
            Issue.record("not known")
            return
        }
        guard case .foreign = Self.read(header, id: 1) else {
            Issue.record("of another id")
            return
        }
        guard case .foreign = Self.read(bytes16(0x1234) + bytes16(0x8180) + header.dropFirst(4)) else {
            Issue.record("without a code")
            return
        }
    }
}

extension TestMessage {
    func asking(_ type: RecordType) -> TestMessage {
        var message = self
        message.type = type
        return message
    }
}
