import Testing

@testable import DNS

struct CacheTests {
    private static func question(_ name: String, _ type: RecordType = .a, dnssecOK: Bool = false, hash: UInt64? = nil) -> Question {
        let bytes = wireName(name)
        return Question(
            type: type, recordClass: 1, recursionDesired: true, checkingDisabled: false, dnssecOK: dnssecOK, name: bytes.span, secret: 7)
    }

    private static func store(_ cache: inout Cache, _ name: String, _ answer: [UInt8], kind: Cache.Kind = .success) {
        cache.store(question(name), kind, answer: answer.span, lifetime: 10, now: 100)
    }

    private static func find(_ cache: borrowing Cache, _ name: String, _ type: RecordType = .a, dnssecOK: Bool = false) -> [UInt8]? {
        let bytes = wireName(name)
        guard let entry = cache.find(question(name.lowercased(), type, dnssecOK: dnssecOK), name: bytes.span) else { return nil }
        var answer = [UInt8](repeating: 0, count: 65_535)
        let length = cache.copy(entry, to: &answer)
        return Array(answer.prefix(length))
    }

    @Test func anAnswerIsFoundByWhatWasAsked() {
        var cache = Cache(bytesMax: 1 << 16)
        let answer = TestMessage(answers: [.a("www.example.com", 1)]).wire
        Self.store(&cache, "www.example.com", answer)
        #expect(Self.find(cache, "www.example.com") == answer)
        #expect(Self.find(cache, "WWW.example.COM") == answer)
        #expect(Self.find(cache, "ww.example.com") == nil)
        #expect(Self.find(cache, "www.example.com", .aaaa) == nil)
        #expect(Self.find(cache, "www.example.com", dnssecOK: true) == nil)
    }

    @Test func aLaterAnswerTakesThePlaceOfAnEarlierOne() {
        var cache = Cache(bytesMax: 1 << 16)
        for last: UInt8 in 1...200 {
            let answer = TestMessage(answers: (0..<Int(last) * 4).map { _ in .a("www.example.com", last) }).wire
            Self.store(&cache, "www.example.com", answer, kind: last.isMultiple(of: 2) ? .success : .denial)
            if answer.count <= 1 << 13 {
                #expect(Self.find(cache, "www.example.com") == answer)
                #expect(cache.count == 1 && cache.successes == (last.isMultiple(of: 2) ? 1 : 0))
            } else {
                // Too large a part of all: not kept, and what it replaces is gone.
                #expect(Self.find(cache, "www.example.com") == nil && cache.count == 0)
            }
        }
    }

    @Test func thoseUnusedForLongestGiveWay() {
        var cache = Cache(bytesMax: 16 * Cache.blockBytes)
        func answer(_ name: String) -> [UInt8] { TestMessage(name: name, answers: [.a(name, 1)]).wire }
        for number in 0..<16 { Self.store(&cache, "n\(number).example", answer("n\(number).example")) }
        let first = wireName("n0.example")
        cache.touch(cache.find(Self.question("n0.example"), name: first.span)!)
        Self.store(&cache, "new.example", answer("new.example"))
        #expect(Self.find(cache, "n0.example") != nil && Self.find(cache, "n1.example") == nil)
        #expect(cache.count == 16 && cache.evictions == 1)
    }

    /// Against a dictionary, with answers of all lengths and room for few of them.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func whatIsFoundIsWhatWasStored(_ seed: UInt64) {
        var random = TestRandom(seed)
        var cache = Cache(bytesMax: 64 * Cache.blockBytes)
        var model: [String: [UInt8]] = [:]
        var found = 0
        for _ in 0..<1500 {
            let name = "n\(random.below(60)).example"
            if random.below(3) == 0 {
                if let answer = Self.find(cache, name) {
                    #expect(answer == model[name])
                    found += 1
                }
            } else {
                let count = random.below(4) == 0 ? random.below(200) : 1
                let answer = TestMessage(name: name, answers: (0..<count).map { _ in .a(name, UInt8(random.below(256))) }).wire
                model[name] = answer
                Self.store(&cache, name, answer, kind: random.below(2) == 0 ? .success : .denial)
            }
        }
        #expect(found > 100 && cache.evictions > 100)
    }

    @Test func withoutRoomNothingIsKept() {
        var cache = Cache(bytesMax: 0)
        Self.store(&cache, "www.example.com", TestMessage().wire)
        #expect(Self.find(cache, "www.example.com") == nil)
    }
}

/// A generator of tests: the same numbers for the same seed.
struct TestRandom {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func below(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }
}
