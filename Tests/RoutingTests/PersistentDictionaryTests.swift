import Routing
import Testing

struct PersistentDictionaryTests {
    /// Versions of a table, each made of the one before by a few changes, against dictionaries that share nothing.
    @Test func eachVersionStaysAsItWas() {
        var random = RandomSource(seed: 5)
        var versions: [(PersistentDictionary<Int, String>, [Int: String])] = [([:], [:])]
        for version in 1...200 {
            var (table, reference) = versions[version - 1]
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                let key = Int.random(in: 0..<300, using: &random)
                let value = Bool.random(using: &random) ? "\(version)" : nil
                table[key] = value
                reference[key] = value
            }
            versions.append((table, reference))
        }
        for (table, reference) in versions {
            #expect(table.count == reference.count && table.isEmpty == reference.isEmpty)
            #expect(table.mapValues { $0 } == reference)
            #expect(Set(table.keys) == Set(reference.keys) && table.values.sorted() == reference.values.sorted())
            #expect((0..<300).allSatisfy { table[$0] == reference[$0] })
            let (some, rest) = (table.filter { $0.key % 3 == 0 }, reference.filter { $0.key % 3 == 0 })
            #expect(some.count == rest.count && some.mapValues { $0 } == rest && some[1] == nil)
        }
    }

    @Test func ofADictionaryItIsTheSame() {
        let entries = Dictionary(uniqueKeysWithValues: (0..<1000).map { ($0, -$0) })
        #expect(PersistentDictionary(entries).mapValues { $0 } == entries)
        #expect(PersistentDictionary<Int, Int>()[1] == nil)
    }
}
