internal import Addressing
internal import ArgumentParser
internal import Forwarding

extension DataPlaneSettings.EngineChoice: ExpressibleByArgument {}

/// `--pin`: whether each worker keeps to one CPU.
enum PinChoice: String, CaseIterable, ExpressibleByArgument {
    /// Only when there is one worker for each allowed CPU: otherwise the scheduler knows better.
    case auto
    case on
    case off

    func pins(workers: Int, allowedCPUs: Int) -> Bool {
        switch self {
        case .auto: workers == allowedCPUs
        case .on: true
        case .off: false
        }
    }
}

extension ConnectionLogging: ExpressibleByArgument {}

/// `--log-format`.
enum LogFormat: String, CaseIterable, ExpressibleByArgument {
    /// `time level message key=value…`
    case text
    /// One JSON object a line.
    case json
}

/// `--output` of `ringway stats`, `check` and `diff`.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument {
    case text
    case json
}

/// `--output` of `ringway get`.
enum ResourceOutput: String, CaseIterable, ExpressibleByArgument {
    case table
    case wide
    case name
    case json
    case yaml
}

/// `--admin-socket`: a path, or `none`.
enum AdminSocketArgument: ExpressibleByArgument, Equatable {
    case path(String)
    case none

    init?(argument: String) {
        if argument.isEmpty { return nil }
        self = argument == "none" ? .none : .path(argument)
    }
}

/// `--admin-listen`: an address and a port, or `none`.
enum AdminListenArgument: ExpressibleByArgument, Equatable {
    /// Port 0 leaves the choice to the kernel; the log says what it was.
    case address(IPAddress, port: Int)
    case none

    init?(argument: String) {
        if argument == "none" {
            self = .none
            return
        }
        guard let colon = argument.lastIndex(of: ":"), let port = UInt16(argument[argument.index(after: colon)...]) else { return nil }
        let host = argument[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard let address = IPAddress(isBracketed ? host.dropFirst().dropLast() : host), isBracketed == (address.family == .ipv6) else {
            return nil
        }
        self = .address(address, port: Int(port))
    }
}

/// `--state-directory`: a directory, or `none`.
struct StateDirectoryArgument: ExpressibleByArgument, Equatable {
    var path: String?

    init?(argument: String) {
        if argument.isEmpty { return nil }
        path = argument == "none" ? nil : argument
    }

    private init(path: String?) { self.path = path }

    /// The directory that systemd has made for a service; of several the first.
    static func ofEnvironment(_ value: (String) -> String?) -> StateDirectoryArgument {
        StateDirectoryArgument(path: value("STATE_DIRECTORY")?.split(separator: ":").first.map(String.init))
    }
}
