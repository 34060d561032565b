// Stub of the parts of Accessibility that the app uses.
public enum AccessibilityNotification { public struct Announcement { public init(_ s: String) {}; public func post() {} } }
