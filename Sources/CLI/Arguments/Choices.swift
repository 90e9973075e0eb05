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

/// `--output` of `ringway stats`.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument {
    case text
    case json
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
