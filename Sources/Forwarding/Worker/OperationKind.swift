/// The worker's words for its operations, in `OperationToken.kind`.
enum OperationKind: UInt8 {
    case accept = 1
    case connect, receiveFromClient, receiveFromServer, sendToClient, sendToServer, transferFromClient, transferFromServer
    case watchListener, watchUpstream
}

/// Those of the cluster's DNS. Apart, so that a flow's completion doesn't have to be told from them.
enum NameOperation: UInt8 {
    case watchNames = 32
    case acceptNames, receiveQuery, sendAnswer
    case watchQuestion, connectQuestion, sendQuestion, receiveReply
}
