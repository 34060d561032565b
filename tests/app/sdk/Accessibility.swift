// Of Accessibility, what the app calls.
public enum AccessibilityNotification { public struct Announcement { public init(_ s: String) {}; public func post() {} } }
