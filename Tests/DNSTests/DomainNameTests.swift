import Testing

@testable import DNS

struct DomainNameTests {
    @Test func namesAreReadAndWritten() {
        #expect(DomainName("Cluster.local")?.wire == [7] + Array("cluster".utf8) + [5] + Array("local".utf8) + [0])
        #expect(DomainName("cluster.local.")?.description == "cluster.local.")
        #expect(DomainName(".")?.wire == [0])
        #expect(DomainName("")?.wire == [0])
    }

    @Test(arguments: ["a..b", ".a", String(repeating: "a", count: 64), String(repeating: "abc.", count: 64)])
    func whatIsNoNameIsRefused(_ text: String) { #expect(DomainName(text) == nil) }

    @Test func theLongestNameIs255Octets() {
        let text = Array(repeating: String(repeating: "a", count: 63), count: 3).joined(separator: ".")
        #expect(DomainName(text + "." + String(repeating: "b", count: 61))?.wire.count == 255)
        #expect(DomainName(text + "." + String(repeating: "b", count: 62)) == nil)
    }
}
