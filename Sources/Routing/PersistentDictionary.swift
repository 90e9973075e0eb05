/// A dictionary whose copies share what they have in common: to change one entry of a copy costs a part of the whole, and not all of it.
///
/// For tables of thousands of which each version is kept by somebody. A copy of Swift's own dictionary copies every entry, each with all
/// the references in it, once a version changes.
package struct PersistentDictionary<Key: Hashable & Sendable, Value: Sendable>: Sendable, Sequence, ExpressibleByDictionaryLiteral {
    package typealias Element = (key: Key, value: Value)

    /// With 10,000 entries a change copies 256 references and some 40 entries.
    private static var partCount: Int { 256 }

    /// Empty, or all of them: an entry is in the part that its hash names.
    private var parts: [[Key: Value]] = []
    package private(set) var count = 0

    package init() {}

    package init(_ entries: [Key: Value]) {
        for (key, value) in entries { self[key] = value }
    }

    package init(dictionaryLiteral elements: (Key, Value)...) {
        for (key, value) in elements { self[key] = value }
    }

    package var isEmpty: Bool { count == 0 }

    private static func part(of key: Key) -> Int { key.hashValue & (partCount - 1) }

    package subscript(key: Key) -> Value? {
        get { parts.isEmpty ? nil : parts[Self.part(of: key)][key] }
        set {
            if parts.isEmpty {
                guard newValue != nil else { return }
                parts = Array(repeating: [:], count: Self.partCount)
            }
            let part = Self.part(of: key)
            count -= parts[part].count
            parts[part][key] = newValue
            count += parts[part].count
        }
    }

    package func makeIterator() -> some IteratorProtocol<Element> { parts.lazy.joined().makeIterator() }

    /// In no order, as with a dictionary.
    package var keys: some Sequence<Key> { parts.lazy.flatMap(\.keys) }
    package var values: some Sequence<Value> { parts.lazy.flatMap(\.values) }

    package func filter(_ isIncluded: (Element) throws -> Bool) rethrows -> Self {
        var result = self
        result.parts = try parts.map { part in try part.filter { try isIncluded(($0.key, $0.value)) } }
        result.count = result.parts.reduce(0) { $0 + $1.count }
        return result
    }

    package func mapValues<Mapped>(_ transform: (Value) throws -> Mapped) rethrows -> [Key: Mapped] {
        try reduce(into: [:]) { $0[$1.key] = try transform($1.value) }
    }
}
