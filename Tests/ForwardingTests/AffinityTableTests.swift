import Addressing
import Engine
import Routing
import Testing

@testable import Forwarding

/// The table of session affinity.
@Suite struct AffinityTableTests {
    private let group = EndpointGroup(
        service: ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp), selection: .clientIP,
        endpoints: (1...9).map { SocketAddress("10.244.0.\($0):80")! })

    private func client(_ number: Int) -> IPAddress { IPAddress(ipv4: 0x0a00_0000 + UInt32(number)) }

    @Test func aKeyIsOfClientServiceAndSecret() {
        let table = AffinityTable(setBits: 4, secret: 1)
        let key = table.key(client: IPAddress("10.0.0.1")!, service: 2)
        #expect(table.key(client: IPAddress("::ffff:10.0.0.1")!, service: 2) == key)
        #expect(table.key(client: IPAddress("::10.0.0.1")!, service: 2) != key)
        #expect(table.key(client: IPAddress("10.0.0.1")!, service: 3) != key)
        #expect(AffinityTable(setBits: 4, secret: 2).key(client: IPAddress("10.0.0.1")!, service: 2) != key)
    }

    @Test func whatIsRememberedIsForgottenAfterTheTimeoutOfTheLastConnection() {
        let table = AffinityTable(setBits: 4)
        let key = table.key(client: client(1), service: group.identity)
        #expect(table.endpoint(of: key, in: group, timeout: 10, now: 100) == nil)
        #expect(table.remember(group.endpoints[3], for: key, timeout: 10, now: 100))
        #expect(table.endpoint(of: key, in: group, timeout: 10, now: 109) == 3)
        #expect(table.endpoint(of: key, in: group, timeout: 10, now: 110) == nil)
        #expect(table.remember(group.endpoints[3], for: key, timeout: 10, now: 109))
        #expect(table.endpoint(of: key, in: group, timeout: 10, now: 118) == 3)
        // The clock of seconds begins again after 194 days.
        #expect(table.remember(group.endpoints[4], for: key, timeout: 10, now: 1 << 24 - 2))
        #expect(table.endpoint(of: key, in: group, timeout: 10, now: 1 << 24 + 3) == 4)
    }

    @Test func anEndpointThatHasLeftTheGroupIsNotFound() {
        let table = AffinityTable(setBits: 4)
        let key = table.key(client: client(1), service: group.identity)
        #expect(table.remember(Endpoint(SocketAddress("10.244.0.10:80")!), for: key, timeout: 10, now: 0))
        #expect(table.endpoint(of: key, in: group, timeout: 10, now: 0) == nil)
    }

    @Test func manyClientsAreToldApart() {
        let table = AffinityTable()
        let keys = (0..<50_000).map { table.key(client: client($0), service: group.identity) }
        var evicted = 0
        for (number, key) in keys.enumerated()
        where !table.remember(group.endpoints[number % 9], for: key, timeout: 60, now: UInt64(number / 1000)) { evicted += 1 }
        let kept = keys.enumerated().count { table.endpoint(of: $0.element, in: group, timeout: 60, now: 50) == $0.offset % 9 }
        // A tenth of the room is used, so few sets of four have had a fifth client.
        #expect(kept + evicted == keys.count && evicted < 50, "\(kept) kept, \(evicted) evicted")
    }

    @Test func inAFullSetTheOneUsedLongestAgoMakesRoom() {
        let table = AffinityTable(setBits: 4)
        // One set: the upper bits are the same.
        let keys = (1...6).map { UInt64(7) << 60 | UInt64($0) }
        for (second, key) in keys[..<4].enumerated() {
            #expect(table.remember(group.endpoints[second], for: key, timeout: 60, now: UInt64(second)))
        }
        #expect(table.remember(group.endpoints[0], for: keys[0], timeout: 60, now: 10))
        #expect(!table.remember(group.endpoints[4], for: keys[4], timeout: 60, now: 11))
        func found(_ now: UInt64) -> [Int?] { keys.map { table.endpoint(of: $0, in: group, timeout: 600, now: now) } }
        #expect(found(12) == [0, nil, 2, 3, 4, nil])
        // One whose time is over goes without being missed.
        #expect(table.remember(group.endpoints[5], for: keys[5], timeout: 60, now: 62))
        #expect(found(62) == [0, nil, nil, 3, 4, 5])
    }

    /// Threads write different endpoints for the keys of one set: nobody may ever find an endpoint that was not given to its key.
    @Test func writersOfOneSetNeverMixTheirClients() async {
        let table = AffinityTable(setBits: 4)
        let keys = (0..<8).map { UInt64(3) << 60 | Mixer.mix($0) >> 4 }
        let group = group
        let (found, wrong) = await withTaskGroup(of: (Int, Int).self) { tasks in
            for task in 0..<4 {
                tasks.addTask {
                    var random = RandomSource(seed: UInt64(task))
                    var (found, wrong) = (0, 0)
                    for turn in 0..<50_000 {
                        let number = random.below(8)
                        if let place = table.endpoint(of: keys[number], in: group, timeout: 1000, now: 0) {
                            found += 1
                            if place != number { wrong += 1 }
                        }
                        _ = table.remember(group.endpoints[number], for: keys[number], timeout: 1000, now: UInt64(turn % 3))
                    }
                    return (found, wrong)
                }
            }
            return await tasks.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
        }
        #expect(wrong == 0 && found > 1000, "\(found) found")
    }
}
