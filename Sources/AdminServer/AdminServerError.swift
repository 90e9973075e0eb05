/// Why the admin socket can't be served or asked. The text names the socket and the remedy.
package struct AdminServerError: Error, CustomStringConvertible, Equatable {
    package enum Kind: Sendable, Equatable {
        /// Another process answers on the socket.
        case inUse
        /// Nobody listens on the socket.
        case nobodyListens
        /// The path can't be used: too long, not a socket, no permission.
        case unusable
        /// Something answered, but not with a report.
        case badAnswer
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
