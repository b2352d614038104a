export default { title: 'Conversations' }
