import Addressing
import Glibc
import Routing

/// Why an address can't be listened on, in words with a remedy.
enum BindFailure {
    static func text(errno: Int32, _ key: FrontendKey) -> String {
        switch errno {
        case EADDRNOTAVAIL, EAFNOSUPPORT: text(errno: errno, key.address.address)
        case EADDRINUSE:
            "port \(key.address.port) is in use by another process; `\(key.transport == .udp ? "ss -lunp" : "ss -ltnp")` names it"
        case EACCES, EPERM: "port \(key.address.port) needs CAP_NET_BIND_SERVICE (or net.ipv4.ip_unprivileged_port_start)"
        case EMFILE: "no more open files are allowed (ulimit -n)"
        case ENFILE: "no more listeners: a worker holds \(Limits.listenersMax)"
        default: "bind failed with errno \(errno)"
        }
    }

    static let ownNames = "this process answers queries there itself (--dns-listen): leave one of the two another address or port"

    /// Why names can't be asked for at an address.
    static func text(errno: Int32, names key: FrontendKey) -> String {
        let port = key.address.port.rawValue
        switch errno {
        case EADDRINUSE:
            let stub =
                port == 53 ? "; where that is systemd-resolved, its stub keeps 127.0.0.53 and 127.0.0.54 only: choose another address" : ""
            return text(errno: errno, key) + stub
        case EACCES, EPERM: return text(errno: errno, key) + ", or another port than \(port)"
        default: return text(errno: errno, key)
        }
    }

    /// Why connections can't be made from an address.
    static func text(errno: Int32, source address: IPAddress) -> String { "--source-addresses: \(text(errno: errno, address))" }

    private static func text(errno: Int32, _ address: IPAddress) -> String {
        switch errno {
        case EADDRNOTAVAIL: "\(address) is not an address of this host; add it (ip address add), or list another"
        case EAFNOSUPPORT: "this host has no \(address.family == .ipv6 ? "IPv6" : "IPv4")"
        default: "bind of \(address) failed with errno \(errno)"
        }
    }
}
