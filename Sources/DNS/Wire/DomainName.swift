/// A name in wire form (RFC 1035, 3.1), lower case, with the root at its end: at most 255 octets, labels of 1...63.
package struct DomainName: Hashable, Sendable, CustomStringConvertible {
    package let wire: [UInt8]

    /// The name of a text, with a final dot or without; nil where it is none. `.` is the root.
    package init?(_ text: some StringProtocol) {
        var labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { Array($0) }
        if labels.last?.isEmpty == true { labels.removeLast() }
        if labels == [[]] { labels = [] }
        var wire: [UInt8] = []
        for label in labels {
            guard (1...63).contains(label.count) else { return nil }
            wire.append(UInt8(label.count))
            wire.append(contentsOf: label.map(\.lowercased))
        }
        wire.append(0)
        guard wire.count <= Self.lengthMax else { return nil }
        self.wire = wire
    }

    package static let lengthMax = 255

    /// - Parameter wire: a name in this very form.
    init(wire: [UInt8]) { self.wire = wire }

    /// With a final dot.
    package var description: String {
        var text = ""
        var position = 0
        while wire[position] > 0 {
            let label = wire[position + 1..<position + 1 + Int(wire[position])]
            text += String(decoding: label, as: UTF8.self) + "."
            position += 1 + Int(wire[position])
        }
        return text.isEmpty ? "." : text
    }
}

extension UInt8 {
    /// ASCII's A to Z as a to z. Lengths of labels, below 64, stay as they are.
    var lowercased: UInt8 { self &- 0x41 < 26 ? self | 0x20 : self }
}
