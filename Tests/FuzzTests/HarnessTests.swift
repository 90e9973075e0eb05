import ServiceModel
import Testing

@testable import Fuzz

/// What the targets are made of can say no.
struct HarnessTests {
    @Test(arguments: [(1, 1, true), (1, 3, true), (2, 1, true), (3, 1, true), (1, 4, false), (3, 2, false), (4, 1, false), (0, 0, false)])
    func aPlaceIsWithinTheTextOrNot(line: Int, column: Int, isWithin: Bool) {
        let places = PlacesOfText(Array("ab\nc\n".utf8))
        #expect(places.contains(SourceLocation(file: "f", line: line, column: column)) == isWithin)
    }

    @Test func changesRepeatWithTheirSeedAndKeepToTheLength() {
        let text = Array("kind: Service\nspec:\n  ports: [{port: 80}]\n---\nkind: Pod\n".utf8)
        var different: Set<[UInt8]> = []
        for seed in 0..<200 as Range<UInt64> {
            var (one, other) = (LineMutation(seed: seed, lengthMax: 80), LineMutation(seed: seed, lengthMax: 80))
            let (changed, crossed) = (one.changed(text), one.crossed(text, text))
            #expect(changed == other.changed(text) && crossed == other.crossed(text, text))
            #expect(changed.count <= 80 && crossed.count <= 80)
            different.formUnion([changed, crossed])
        }
        #expect(different.count > 50)
    }
}
