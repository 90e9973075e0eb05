@main
struct Ringway { static func main() {} }
