import antfu from '@antfu/eslint-config'

export default antfu({
  vue: true,
  typescript: true,
  ignores: ['dist', 'src/api/schema.d.ts', 'demo', 'public'],
  rules: {
    'max-lines': ['error', { max: 150, skipBlankLines: false, skipComments: false }],
    'ts/ban-ts-comment': ['error', { 'ts-expect-error': true, 'ts-ignore': true, 'ts-nocheck': true }],
    'ts/no-explicit-any': 'error',
    'ts/no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
    'no-unmodified-loop-condition': 'off', // does not see what callbacks change
    'node/prefer-global/process': 'off',
    'style/max-statements-per-line': ['error', { max: 2 }],
    'vue/no-v-html': 'error',
    'vue/max-attributes-per-line': ['error', { singleline: 4, multiline: 1 }],
  },
}, {
  // Lists of words, icons and packages grow with the page, not with what a reader must keep in mind.
  files: ['src/i18n/**', 'src/components/icons.ts', '**/*.json', '**/*.md', '**/*.yaml', 'scripts/**'],
  rules: { 'max-lines': 'off', 'no-console': 'off' },
})
