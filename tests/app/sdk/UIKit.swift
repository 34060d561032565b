// Of UIKit, what the app calls outside of its one UIView.
import Foundation
@MainActor public enum UIApplication { public static let openSettingsURLString = "" }
