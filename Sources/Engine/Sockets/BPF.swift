import CLiburing
import CLinux
import Glibc

/// bpf(2): maps, programs and links, as far as `AddressSteering` needs them.
enum BPF {
    /// The call's argument: fields at the places that linux/bpf.h gives them, everything else zero.
    struct Attributes {
        private var bytes = [UInt8](repeating: 0, count: 128)

        mutating func set<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
            unsafe bytes.withUnsafeMutableBytes { unsafe $0.storeBytes(of: value, toByteOffset: offset, as: Value.self) }
        }

        mutating func set(_ pointer: UnsafeRawPointer, at offset: Int) { set(UInt64(UInt(bitPattern: pointer)), at: offset) }

        /// - Returns: what the kernel says, or the errno.
        mutating func call(_ command: bpf_cmd) -> Result<Int32, Errno> {
            let result = unsafe bytes.withUnsafeMutableBytes {
                unsafe ringway_bpf(UInt32(command.rawValue), $0.baseAddress!, UInt32($0.count))
            }
            return result < 0 ? .failure(Errno(rawValue: errno)) : .success(Int32(truncatingIfNeeded: result))
        }
    }

    struct Errno: Error { let rawValue: Int32 }

    /// Every descriptor of BPF is closed on exec.
    private static func open(_ command: bpf_cmd, _ attributes: Attributes) throws(Errno) -> OwnedDescriptor {
        var attributes = attributes
        guard let descriptor = OwnedDescriptor(try attributes.call(command).get()) else { throw Errno(rawValue: EBADF) }
        return descriptor
    }

    static func makeMap(
        _ type: bpf_map_type, keyBytes: Int, valueBytes: Int, entries: Int, isAllocatedAsNeeded: Bool = false
    ) throws(Errno) -> OwnedDescriptor {
        var attributes = Attributes()
        attributes.set(UInt32(type.rawValue), at: 0)
        attributes.set(UInt32(keyBytes), at: 4)
        attributes.set(UInt32(valueBytes), at: 8)
        attributes.set(UInt32(clamping: entries), at: 12)
        attributes.set(UInt32(isAllocatedAsNeeded ? 1 : 0), at: 16)
        return try open(BPF_MAP_CREATE, attributes)
    }

    /// - Returns: 0, or the errno.
    static func update<Key: BitwiseCopyable, Value: BitwiseCopyable>(_ map: Int32, _ key: Key, _ value: Value) -> Int32 {
        var (key, value) = (key, value)
        var attributes = Attributes()
        attributes.set(map, at: 0)
        return unsafe withUnsafeBytes(of: &key) { key in
            unsafe attributes.set(key.baseAddress!, at: 8)
            return unsafe withUnsafeBytes(of: &value) { value in
                unsafe attributes.set(value.baseAddress!, at: 16)
                return outcome(attributes.call(BPF_MAP_UPDATE_ELEM))
            }
        }
    }

    /// - Returns: 0, or the errno: ENOENT where it is not there.
    @discardableResult
    static func remove<Key: BitwiseCopyable>(_ map: Int32, _ key: Key) -> Int32 {
        var key = key
        var attributes = Attributes()
        attributes.set(map, at: 0)
        return unsafe withUnsafeBytes(of: &key) { key in
            unsafe attributes.set(key.baseAddress!, at: 8)
            return outcome(attributes.call(BPF_MAP_DELETE_ELEM))
        }
    }

    private static func outcome(_ result: Result<Int32, Errno>) -> Int32 {
        if case .failure(let errno) = result { errno.rawValue } else { 0 }
    }

    static func load(_ program: Program, type: bpf_prog_type, attachType: bpf_attach_type) throws(Errno) -> OwnedDescriptor {
        let license = Array("Apache-2.0".utf8) + [0]
        var attributes = Attributes()
        attributes.set(UInt32(type.rawValue), at: 0)
        attributes.set(UInt32(program.instructions.count), at: 4)
        attributes.set(UInt32(attachType.rawValue), at: 68)
        let loaded = unsafe program.instructions.withUnsafeBytes { instructions in
            unsafe attributes.set(instructions.baseAddress!, at: 8)
            return unsafe license.withUnsafeBytes { license in
                unsafe attributes.set(license.baseAddress!, at: 16)
                return attributes.call(BPF_PROG_LOAD)
            }
        }
        guard let descriptor = OwnedDescriptor(try loaded.get()) else { throw Errno(rawValue: EBADF) }
        return descriptor
    }

    /// A program in force for as long as what this returns is open.
    static func attach(_ program: Int32, to target: Int32, _ type: bpf_attach_type) throws(Errno) -> OwnedDescriptor {
        var attributes = Attributes()
        attributes.set(program, at: 0)
        attributes.set(target, at: 4)
        attributes.set(UInt32(type.rawValue), at: 8)
        return try open(BPF_LINK_CREATE, attributes)
    }

    /// Instructions of 64 bits. Registers: 0 has results, 1 to 5 arguments, 6 to 9 are kept by calls, 10 is the stack.
    struct Program {
        private(set) var instructions: [UInt64] = []
        /// Jumps to the end, whose distance is filled in there.
        private var exits: [Int] = []

        private mutating func append(_ code: UInt8, _ target: Int = 0, _ source: Int = 0, offset: Int = 0, _ number: Int32 = 0) {
            instructions.append(
                UInt64(code) | UInt64(target) << 8 | UInt64(source) << 12 | UInt64(UInt16(bitPattern: Int16(offset))) << 16
                    | UInt64(UInt32(bitPattern: number)) << 32)
        }

        mutating func move(_ target: Int, from source: Int, plus offset: Int32 = 0) {
            append(0xbf, target, source)
            if offset != 0 { append(0x07, target, offset) }
        }
        mutating func set(_ target: Int, to number: Int32) { append(0xb7, target, number) }
        /// Reads 32 bits at an offset from a register.
        mutating func load(_ target: Int, from source: Int, at offset: Int) { append(0x61, target, source, offset: offset) }
        /// Writes 32 bits on the stack.
        mutating func store(_ source: Int, at offset: Int) { append(0x63, 10, source, offset: offset) }
        mutating func store(number: Int32, at offset: Int) { append(0x62, 10, offset: offset, number) }
        mutating func loadMap(_ target: Int, _ map: Int32) {
            append(0x18, target, Int(BPF_PSEUDO_MAP_FD), map)
            append(0)
        }
        mutating func call(_ helper: Int32) { append(0x85, helper) }
        private mutating func append(_ code: UInt8, _ number: Int32) { append(code, 0, 0, number) }
        private mutating func append(_ code: UInt8, _ target: Int, _ number: Int32) { append(code, target, 0, number) }

        /// Goes to the end where a register has a number, or has another one.
        mutating func exit(if register: Int, is number: Int32) { exit(0x15, register, number) }
        mutating func exit(if register: Int, isNot number: Int32) { exit(0x55, register, number) }
        private mutating func exit(_ code: UInt8, _ register: Int, _ number: Int32) {
            exits.append(instructions.count)
            append(code, register, number)
        }

        /// Runs one of two blocks.
        mutating func either(
            if register: Int, is number: Int32, then: (inout Program) -> Void, otherwise: (inout Program) -> Void
        ) {
            let test = instructions.count
            append(0x15, register, number)
            otherwise(&self)
            let jump = instructions.count
            append(0x05)
            setDistance(of: test)
            then(&self)
            setDistance(of: jump)
        }

        /// The end, with its result.
        mutating func end(_ result: Int32) {
            for exit in exits { setDistance(of: exit) }
            exits = []
            set(0, to: result)
            append(0x95)
        }

        private mutating func setDistance(of jump: Int) {
            instructions[jump] |= UInt64(UInt16(instructions.count - jump - 1)) << 16
        }
    }
}
