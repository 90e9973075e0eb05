import Glibc

/// An IPv4 or IPv6 address with a port, as the kernel takes it.
struct Target {
    /// As it was given: `127.0.0.1:9001`, `[::1]:9001`.
    let text: String
    let family: Int32
    private let storage: sockaddr_storage
    private let length: socklen_t

    /// Nil if it is not an address and a port; names are not looked up.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        self.init(host: String(host), port: port, text: text)
        if isBracketed != (family == AF_INET6) { return nil }
    }

    /// An address to send from; the kernel picks the port.
    init?(source: String) { self.init(host: source, port: 0, text: source) }

    private init?(host: String, port: UInt16, text: String) {
        self.text = text
        var storage = sockaddr_storage()
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if unsafe inet_pton(AF_INET, host, &four.sin_addr) == 1 {
            family = AF_INET
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = port.bigEndian
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
            unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: four, as: sockaddr_in.self) }
        } else if unsafe inet_pton(AF_INET6, host, &six.sin6_addr) == 1 {
            family = AF_INET6
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: six, as: sockaddr_in6.self) }
        } else {
            return nil
        }
        self.storage = storage
    }

    /// The address for connect(2) or bind(2).
    func withAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        unsafe withUnsafePointer(to: storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }
}
