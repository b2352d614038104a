export default {
  title: 'Knowledge assistant',
  words: 'Ask your company’s documents; every answer names its sources.',
  passphrase: 'Demo passphrase',
  placeholder: 'Enter the passphrase',
  enter: 'Enter',
  wecom: 'Sign in with WeCom',
  demoHint: 'The passphrase and the demo link are printed in the terminal when the server starts.',
  fromYourSystem: 'Open this page from your own system (WeCom workbench, OA portal…). If you had it open before, go back there and enter again.',
  refused: 'You cannot come in right now',
  refusedWords: 'This sign-in link was used before or has expired. Please enter again.',
  expired: 'Your sign-in has expired',
  expiredWords: 'Sign in again and you will be back here. What you have not sent is kept.',
}
