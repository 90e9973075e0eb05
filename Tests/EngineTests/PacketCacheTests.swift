import Engine
import Testing

/// Replies that are given again.
final class PacketCacheTests {
    private var cache = PacketCache(rows: 8)

    private static func message(_ id: UInt8, _ text: String) -> [UInt8] { [id, id ^ 0xff] + Array(text.utf8) }

    private func keep(_ message: [UInt8], _ reply: String, note: UInt32 = 0) {
        cache.keep(Self.message(0xee, reply).span, to: message.span, PacketCache.hash(message.span), note: note)
    }

    private func find(_ message: [UInt8]) -> (reply: [UInt8], note: UInt32)? {
        var bytes = [UInt8](repeating: 0xa5, count: PacketCache.rowBytes)
        var span = bytes.mutableSpan
        guard let found = cache.find(message.span, PacketCache.hash(message.span), into: &span) else { return nil }
        return (Array(bytes[..<found.length]), found.note)
    }

    @Test func aReplyIsGivenAgainWithTheIdOfWhoAsks() {
        #expect(find(Self.message(1, "who is there")) == nil)
        keep(Self.message(1, "who is there"), "it is me", note: 77)
        for id: UInt8 in [1, 2, 0xff] {
            let found = find(Self.message(id, "who is there"))
            #expect(found?.reply == Self.message(id, "it is me") && found?.note == 77)
        }
    }

    @Test func everyByteBehindTheIdCounts() {
        let asked = Array("abcdefghijklmnopqrstuvwxyz".utf8)
        for length in 1...asked.count {
            let message = Self.message(1, String(decoding: asked[..<length], as: UTF8.self))
            cache.forget()
            keep(message, "reply")
            #expect(find(message)?.reply == Self.message(1, "reply"))
            for index in 2..<message.count {
                var other = message
                other[index] ^= 0x20
                #expect(find(other) == nil, "\(length) \(index)")
            }
            #expect(find(message + [0]) == nil && find(message.dropLast()) == nil)
        }
    }

    @Test func nothingIsLeftAfterForgetting() {
        for round in 0..<3 {
            for name in 0..<100 { keep(Self.message(1, "name \(name)"), "round \(round)") }
            #expect((0..<100).contains { find(Self.message(1, "name \($0)")) != nil })
            cache.forget()
            for name in 0..<100 { #expect(find(Self.message(1, "name \(name)")) == nil) }
        }
    }

    /// However full it is, what is found is what was kept last for that message.
    @Test func rowsThatAreTakenGoToOthers() {
        var random = SystemRandomNumberGenerator()
        var kept: [String: String] = [:]
        var found = 0
        for step in 0..<5000 {
            let name = "name \(random.next(upperBound: 40 as UInt32))"
            if let reply = find(Self.message(3, name)) {
                #expect(reply.reply == Self.message(3, kept[name] ?? "?"))
                found += 1
            } else {
                kept[name] = "reply \(step)"
                keep(Self.message(1, name), "reply \(step)")
            }
        }
        // Eight of forty have room at a time.
        #expect(found > 100)
    }

    @Test func whatDoesNotFitIsNotKept() {
        let room = PacketCache.rowBytes - 16
        for (question, reply, fits) in [(40, room - 40, true), (40, room - 39, false), (room, 1, false), (room - 1, 1, true)] {
            let message = Self.message(1, String(repeating: "q", count: question))
            cache.forget()
            keep(message, String(repeating: "r", count: reply))
            #expect((find(message) != nil) == fits, "\(question) \(reply)")
        }
    }

    @Test func withoutRowsNothingIsKept() {
        var cache = PacketCache(rows: 0)
        let message = Self.message(1, "who is there")
        cache.keep(message.span, to: message.span, PacketCache.hash(message.span), note: 0)
        cache.prefetch(PacketCache.hash(message.span))
        var bytes = [UInt8](repeating: 0, count: PacketCache.rowBytes)
        var span = bytes.mutableSpan
        #expect(cache.find(message.span, PacketCache.hash(message.span), into: &span) == nil)
    }

    @Test func idsAloneAreNoMessages() {
        for message in [[], [1], [1, 2]] as [[UInt8]] {
            keep(message, "reply")
            #expect(find(message) == nil)
        }
    }
}
