// Eight bytes at a time. The compiler makes one load or store of each of these, since the bounds are known once.

extension Span<UInt8> {
    /// The eight bytes from an offset, the first lowest.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        // Of a part whose length is known no byte is checked again.
        let part = extracting(offset..<offset &+ 8)
        var word = UInt64(part[0])
        word |= UInt64(part[1]) << 8
        word |= UInt64(part[2]) << 16
        word |= UInt64(part[3]) << 24
        word |= UInt64(part[4]) << 32
        word |= UInt64(part[5]) << 40
        word |= UInt64(part[6]) << 48
        word |= UInt64(part[7]) << 56
        return word
    }

    /// The four bytes from an offset, the first lowest.
    @inline(__always)
    func half(at offset: Int) -> UInt32 {
        let part = extracting(offset..<offset &+ 4)
        return UInt32(part[0]) | UInt32(part[1]) << 8 | UInt32(part[2]) << 16 | UInt32(part[3]) << 24
    }

    /// The last `length` bytes, 1...7, before an offset, the first lowest.
    @inline(__always)
    func tail(before end: Int, length: Int) -> UInt64 {
        if end >= 8 { return word(at: end &- 8) &>> UInt64(truncatingIfNeeded: (8 &- length) &* 8) }
        var word: UInt64 = 0
        for index in 0..<length { word |= UInt64(self[end - length + index]) << UInt64(index * 8) }
        return word
    }

    /// Whether a name in lower case stands at an offset, of which `other` has that range in any case.
    @inline(__always)
    func matches(at offset: Int, _ other: Span<UInt8>, _ range: Range<Int>) -> Bool {
        var (mine, theirs) = (offset, range.lowerBound)
        while theirs &+ 8 <= range.upperBound {
            if word(at: mine) != other.word(at: theirs).lowercased { return false }
            mine &+= 8
            theirs &+= 8
        }
        let rest = range.upperBound &- theirs
        if rest == 0 { return true }
        return tail(before: mine &+ rest, length: rest) == other.tail(before: range.upperBound, length: rest).lowercased
    }

    /// A hash of a range of a name, of no case.
    @inline(__always)
    func nameHash(_ range: Range<Int>, _ seed: UInt64) -> UInt64 {
        var state = seed
        var position = range.lowerBound
        while position &+ 8 <= range.upperBound {
            state = NameHash.add(word(at: position).lowercased, state)
            position &+= 8
        }
        let rest = range.upperBound &- position
        if rest > 0 { state = NameHash.add(tail(before: range.upperBound, length: rest).lowercased, state) }
        return state
    }
}

// A part of its own keeps the span's address in a register, where it would be read anew for each byte that is stored. `_mutatingExtracting`
// is what Swift 6.3 calls `extracting`.
extension MutableSpan<UInt8> {
    @inline(__always)
    mutating func put(_ number: UInt16, at offset: Int) {
        var part = _mutatingExtracting(offset..<offset &+ 2)
        part[0] = UInt8(truncatingIfNeeded: number >> 8)
        part[1] = UInt8(truncatingIfNeeded: number)
    }

    @inline(__always)
    mutating func put(_ number: UInt32, at offset: Int) {
        var part = _mutatingExtracting(offset..<offset &+ 4)
        part[0] = UInt8(truncatingIfNeeded: number >> 24)
        part[1] = UInt8(truncatingIfNeeded: number >> 16)
        part[2] = UInt8(truncatingIfNeeded: number >> 8)
        part[3] = UInt8(truncatingIfNeeded: number)
    }

    @inline(__always)
    mutating func put(word: UInt64, at offset: Int) {
        var part = _mutatingExtracting(offset..<offset &+ 8)
        part[0] = UInt8(truncatingIfNeeded: word)
        part[1] = UInt8(truncatingIfNeeded: word >> 8)
        part[2] = UInt8(truncatingIfNeeded: word >> 16)
        part[3] = UInt8(truncatingIfNeeded: word >> 24)
        part[4] = UInt8(truncatingIfNeeded: word >> 32)
        part[5] = UInt8(truncatingIfNeeded: word >> 40)
        part[6] = UInt8(truncatingIfNeeded: word >> 48)
        part[7] = UInt8(truncatingIfNeeded: word >> 56)
    }

    @inline(__always)
    mutating func put(half word: UInt32, at offset: Int) {
        var part = _mutatingExtracting(offset..<offset &+ 4)
        part[0] = UInt8(truncatingIfNeeded: word)
        part[1] = UInt8(truncatingIfNeeded: word >> 8)
        part[2] = UInt8(truncatingIfNeeded: word >> 16)
        part[3] = UInt8(truncatingIfNeeded: word >> 24)
    }

    /// Copies a range of bytes to an offset.
    @inline(__always)
    mutating func put(_ bytes: Span<UInt8>, _ range: Range<Int>, at offset: Int) {
        let source = bytes.extracting(range)
        var part = _mutatingExtracting(offset..<offset &+ source.count)
        var position = 0
        while position <= source.count &- 8 {
            part.put(word: source.word(at: position), at: position)
            position &+= 8
        }
        guard position < source.count else { return }
        // What is left, with some of what was copied before where there is any: a loop over bytes takes as long as all the words.
        if source.count >= 8 {
            part.put(word: source.word(at: source.count &- 8), at: source.count &- 8)
        } else if source.count >= 4 {
            part.put(half: source.half(at: 0), at: 0)
            part.put(half: source.half(at: source.count &- 4), at: source.count &- 4)
        } else {
            for index in 0..<source.count { part[index] = source[index] }
        }
    }
}

extension UInt64 {
    /// Its eight bytes, of which A to Z become a to z. Lengths of labels, below 64, stay as they are.
    @inline(__always)
    var lowercased: UInt64 {
        let low = self & 0x7f7f_7f7f_7f7f_7f7f
        // Bit 7 of a byte: at least A; more than Z.
        let fromA = low &+ 0x3f3f_3f3f_3f3f_3f3f
        let beyondZ = low &+ 0x2525_2525_2525_2525
        let isUpper = (fromA ^ beyondZ) & ~self & 0x8080_8080_8080_8080
        return self | isUpper >> 2
    }
}
